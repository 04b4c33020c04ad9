"""One-to-one assignment of classes to prototypes."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def assign(similarity: Tensor) -> tuple[Tensor, float]:
    """Return the permutation of largest total similarity, and that total.

    Args:
        similarity: (C, C), class by prototype.

    Returns:
        ``assignment`` (C,) int64, the prototype of each class, on the CPU, and ``sum_c similarity[c, assignment[c]]``.

    Source: ``scipy.optimize.linear_sum_assignment``.
    """
    matrix = similarity.detach().cpu().numpy().astype(np.float64)
    rows, columns = linear_sum_assignment(matrix, maximize=True)
    return torch.from_numpy(columns), float(matrix[rows, columns].sum())
