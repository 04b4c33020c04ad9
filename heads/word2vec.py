"""Word2Vec prototypes: fixed word vectors of the class names, brought to d dimensions by PCA."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn import functional

from core.batch import DataInfo
from core.errors import UserError
from heads.fixed import FixedPrototypeHead, unit
from heads.registry import register

TABLE = Path(__file__).parent / "word_vectors" / "glove50.npz"


@cache
def word_vectors() -> dict[str, np.ndarray]:
    """Return the shipped GloVe vectors (50,) by name: lower case, words separated by blanks."""
    with np.load(TABLE, allow_pickle=False) as table:
        return dict(zip(table["names"].tolist(), table["vectors"], strict=True))


def class_vectors(class_names: tuple[str, ...]) -> Tensor:
    """Return the word vectors (C, 50) float64 of class names; case and underscores do not matter.

    Raises:
        UserError: listing the names that have no vector.
    """
    table = word_vectors()
    keys = [name.lower().replace("_", " ") for name in class_names]
    missing = [name for name, key in zip(class_names, keys, strict=True) if key not in table]
    if missing:
        raise UserError(f"word2vec: no word vector for {len(missing)} of {len(class_names)} class names: {', '.join(missing)}")
    return torch.from_numpy(np.stack([table[key] for key in keys]).astype(np.float64))


def principal_directions(vectors: Tensor, dim: int) -> Tensor:
    """Return unit rows (C, dim): the vectors (C, n) centred and expressed in their first ``dim`` principal axes, zero-padded past their rank."""
    centred = vectors - vectors.mean(dim=0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    kept = (left * values)[:, :dim]
    return unit(functional.pad(kept, (0, dim - kept.shape[1])))


@register(
    "word2vec",
    version=1,
    paper="the word-vector baseline of Mettes et al., NeurIPS 2019",
    source="GloVe 6B 50-d instead of word2vec 300-d; PCA to d is our construction, since no released code says how the vectors come to d dimensions",
    deviations="the loss is a batch mean (loss_scale 128 gives the paper's sum over batches of 128)",
)
class Word2VecHead(FixedPrototypeHead):
    """Fixed prototypes from word vectors of the class names; loss (1 - cos(z, p_y))^2.

    Args:
        info: facts of the data; ``class_names`` are looked up.
        feature_dim: d <= 50.
        loss_scale: factor on the batch mean of the loss.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, **hyperparameters: Any) -> str | None:
        """Return that d is above the 50 dimensions of the vectors.

        Raises:
            UserError: if a class name has no vector.
        """
        size = class_vectors(info.class_names).shape[1]
        return None if feature_dim <= size else f"the word vectors have {size} dimensions, fewer than d = {feature_dim}"

    def __init__(self, info: DataInfo, feature_dim: int, *, loss_scale: PositiveFloat = 1.0) -> None:
        super().__init__(principal_directions(class_vectors(info.class_names), feature_dim), loss_scale)
