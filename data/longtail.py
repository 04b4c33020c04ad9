"""Long-tailed training sets: class counts by profile, and the subset that the field draws for them."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

# (labels of one source, nominal counts, seed) to (positions, labels of those positions).
Draw = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]


def profile(name: str, largest: float, imbalance_factor: float, num_classes: int) -> Tensor:
    """Return the nominal class counts (C,) int64, truncated from float64.

    Args:
        name: ``exp``, n_c = largest * IF^(-c / (C - 1)), or ``step``, the second half of the classes has largest / IF.
        largest: n_max, images per class of the whole set; need not be whole.
        imbalance_factor: n_max / n_min.
        num_classes: C.

    Source: Cao et al., NeurIPS 2019 (LDAM-DRW), as its code computes it.
    """
    if name == "step":
        counts = [int(largest) if c < num_classes // 2 else int(largest / imbalance_factor) for c in range(num_classes)]
    else:
        rate = 1 / imbalance_factor
        counts = [int(largest * rate ** (c / max(num_classes - 1, 1))) for c in range(num_classes)]
    return torch.tensor(counts)


def draw(labels: Tensor, nominal: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw min(nominal, available) images of each class; return their positions and labels, sorted by class.

    Args:
        labels: (N,) of one source.
        nominal: (C,) wanted images of each class.
        seed: ``imbalance_seed`` of numpy's legacy generator; 0 in LDAM-DRW's code and most that came after it, which
            so train on the same subset (BALMS and Menon et al. have others of the same counts).

    Source: the subset of LDAM-DRW's code: per class in ascending order, the ascending positions are shuffled and the
    first n_c taken.
    """
    random = np.random.RandomState(seed)
    drawn = []
    for c, wanted in enumerate(nominal.tolist()):
        members = np.flatnonzero(labels.numpy() == c)
        random.shuffle(members)
        drawn.append(members[:wanted])
    positions = torch.from_numpy(np.concatenate(drawn))
    return positions, labels[positions]


def misaligned_draw(labels: Tensor, nominal: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw like :func:`draw`, but label the images as the published SVHN-LT loaders do: wrongly.

    They append the *wanted* number of labels of each class beside the images that are there; where a class has too few,
    every later label is shifted.

    Source: the long-tailed SVHN of the released code of Yang et al., NeurIPS 2022, and Saadabadi et al., CVPR 2024.
    """
    positions, _ = draw(labels, nominal, seed)
    appended = torch.repeat_interleave(torch.arange(len(nominal)), nominal)
    return positions, appended[: len(positions)]


DRAWS = {function.__name__: function for function in (draw, misaligned_draw)}
