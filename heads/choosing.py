"""The choice of a number after training, on validation."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def best(candidates: Sequence[float], scores: Callable[[float], Tensor], labels: Tensor) -> float:
    """Return the candidate, the first of several, whose scores give labels best: by the accuracy of each class,
    averaged over those that occur.

    Args:
        candidates: at least one.
        scores: from a candidate to scores (N, C).
        labels: (N,).
    """
    counts = torch.bincount(labels)
    shares = 1.0 / (counts[labels] * (counts > 0).sum()).double()

    def accuracy(candidate: float) -> float:
        return (shares * (scores(candidate).argmax(dim=1) == labels)).sum().item()

    return max(candidates, key=accuracy)
