"""Point sets on the sphere that are known in closed form, as unit rows (C, d) in float64."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def simplex(num_classes: int, dim: int) -> Array:
    """Return the C vertices of the regular simplex as unit rows (C, d): every cosine is -1/(C-1).

    Source: Kasarla et al., NeurIPS 2022, in its iterative form; zero-padded to d.

    Raises:
        ValueError: if d < C - 1, where no simplex exists.
    """
    if dim < num_classes - 1:
        raise ValueError(f"a simplex of {num_classes} points needs at least {num_classes - 1} dimensions, not {dim}")
    points = np.zeros((num_classes, dim))
    height = 1.0
    for row in range(num_classes - 1):
        rest = num_classes - 1 - row
        points[row, row] = height
        points[row + 1 :, row] = -height / rest
        height *= np.sqrt(1 - 1 / rest**2)
    return points


def simplex_blocks(num_classes: int, dim: int) -> Array:
    """Return C - d regular simplices of nearly equal size in orthogonal subspaces: the largest cosine is exactly 0.

    At C = 2d they are d antipodal pairs, the orthoplex.

    Source: Rankin, 1955: no more than d + 1 points have all cosines below 0, so 0 is the optimum for d + 2 <= C <= 2d.

    Raises:
        ValueError: outside of d + 2 <= C <= 2d.
    """
    if not dim + 2 <= num_classes <= 2 * dim:
        raise ValueError(f"orthogonal simplices of {num_classes} points need d + 2 <= {num_classes} <= 2d, not d = {dim}")
    points = np.zeros((num_classes, dim))
    row = column = 0
    for block in np.array_split(np.arange(num_classes), num_classes - dim):
        size = len(block)
        points[row : row + size, column : column + size - 1] = simplex(size, size - 1)
        row, column = row + size, column + size - 1
    return points
