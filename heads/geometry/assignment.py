"""One-to-one assignment of classes to prototypes."""

import numpy as np
import scipy
import torch
from torch import Tensor


def assign(similarity: Tensor) -> Tensor:
    """Return the permutation of largest total similarity: the prototype of each class, (C,) int64 on the CPU.

    Args:
        similarity: (C, C), class by prototype.

    Source: ``scipy.optimize.linear_sum_assignment``.
    """
    # A training that has left the finite numbers is told by its loss, at the end of the epoch.
    finite = np.nan_to_num(similarity.detach().cpu().numpy().astype(np.float64))
    _, columns = scipy.optimize.linear_sum_assignment(finite, maximize=True)
    return torch.from_numpy(columns)
