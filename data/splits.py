"""The validation split."""

import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from core.errors import UserError


def validation_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return (training positions, validation positions), each sorted, stratified by class.

    Args:
        labels: (N,) of the training set.
        fraction: part that becomes validation, in [0, 1); 0 leaves it empty.
        seed: ``split_seed``.

    Raises:
        UserError: if a class is too small to be split.

    Source: ``sklearn.model_selection.train_test_split``.
    """
    everything = torch.arange(len(labels))
    if fraction == 0:
        return everything, everything[:0]
    try:
        train, val = train_test_split(everything.numpy(), test_size=fraction, stratify=labels.numpy(), random_state=seed)
    except ValueError as error:
        raise UserError(f"val_fraction: {fraction} of {len(labels)} images cannot be split by class ({error})") from None
    return torch.from_numpy(train).sort().values, torch.from_numpy(val).sort().values
