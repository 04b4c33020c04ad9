"""What heads with running class statistics share: the samples of a step, and their sums by class."""

import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads.base import Context
from headbench.heads.normalisation import unit


def directions(features: Tensor, targets: Targets, context: Context) -> tuple[Tensor, Tensor]:
    """Return the unit features (N, d) of all views and devices, and their unmixed labels (N,).

    Args:
        features: (V, B, d) of this device.
        targets: labels of its B samples.
        context: gathers what other devices have.
    """
    labels = context.gather(targets.labels.repeat(features.shape[0]))
    return context.gather(unit(features).flatten(0, 1)), labels


def class_sums(rows: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the sum of the rows (N, d) of each class (C, d), and their number (C, 1).

    Deterministic on every device under ``torch.use_deterministic_algorithms``, which the harness sets.
    """
    sums = rows.new_zeros(num_classes, rows.shape[1]).index_add_(0, labels, rows)
    return sums, rows.new_zeros(num_classes, 1).index_add_(0, labels, torch.ones_like(rows[:, :1]))
