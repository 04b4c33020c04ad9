"""Point sets on the sphere that are known in closed form, as unit rows (C, d) in float64."""

import functools
import operator

import numpy as np
import scipy  # whose parts import themselves when they are first used; lists of heads use none
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
        raise ValueError(
            f"orthogonal simplices of {num_classes} points need d + 2 <= {num_classes} <= 2d, not d = {dim}"
        )
    points = np.zeros((num_classes, dim))
    row = column = 0
    for block in np.array_split(np.arange(num_classes), num_classes - dim):
        size = len(block)
        points[row : row + size, column : column + size - 1] = simplex(size, size - 1)
        row, column = row + size, column + size - 1
    return points


def polygon(num_classes: int) -> Array:
    """Return the C corners of the regular polygon as unit rows (C, 2)."""
    angles = 2 * np.pi * np.arange(num_classes) / num_classes
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def orthoplex(num_classes: int, dim: int) -> Array:
    """Return C of the 2d points e_1, -e_1, e_2, -e_2, ... as unit rows (C, d).

    Source: the d-orthoplex classifier of Pernici et al., TNNLS 2021.

    Raises:
        ValueError: if C > 2d.
    """
    if num_classes > 2 * dim:
        raise ValueError(f"an orthoplex of {num_classes} points needs d >= {(num_classes + 1) // 2}, not {dim}")
    points = np.zeros((num_classes, dim))
    rows = np.arange(num_classes)
    points[rows, rows // 2] = 1 - 2 * (rows % 2)
    return points


def higman_sims() -> Array:
    """Return the 100 points in R^22 whose largest cosine is 1/11, the least possible (Levenshtein's bound).

    The vertices of the Higman-Sims graph with Gram matrix I - 4/11 A + 1/11 (J - I - A), A its adjacency: a point that
    meets 22 others, those 22, and the 77 hexads of the Steiner system S(3, 6, 22), adjacent to their points and to the
    hexads that are disjoint from them.

    Source: Higman & Sims, 1968.
    """
    octads = golay_octads()
    hexads = octads[octads[:, :2].all(axis=1), 2:]
    adjacency = np.zeros((100, 100))
    adjacency[0, 1:23] = adjacency[1:23, 0] = 1
    adjacency[23:, 1:23], adjacency[1:23, 23:] = hexads, hexads.T
    adjacency[23:, 23:] = hexads @ hexads.T == 0
    values, vectors = np.linalg.eigh((10 * np.eye(100) + 1 - 5 * adjacency) / 11)
    points: Array = vectors[:, -22:] * np.sqrt(values[-22:])
    return points


def golay_octads() -> NDArray[np.int64]:
    """Return the 759 words of weight 8 of the extended binary Golay code, (759, 24) of 0 and 1: the blocks of the
    Steiner system S(5, 8, 24).

    The code is spanned by the shifts of the squares modulo 23, with a parity bit.
    """
    squares = np.array([1 if x in {y * y % 23 for y in range(1, 23)} else 0 for x in range(23)])
    words = np.zeros((1, 24), dtype=np.int64)
    for shift in range(12):
        word = np.roll(squares, shift)
        words = np.concatenate([words, words ^ np.append(word, word.sum() % 2)])
    octads: NDArray[np.int64] = words[words.sum(axis=1) == 8]
    return octads


# Irreducible polynomials over GF(2) of the fields of 2^3, 2^5, 2^7 and 2^9 elements, as bits.
_POLYNOMIALS = {3: 0b1011, 5: 0b100101, 7: 0b10000011, 9: 0b1000010001}


def kerdock_size(dim: int) -> tuple[int, int]:
    """Return the largest N = 4^k <= d for which :func:`kerdock` is built here, and how many points it then has; zeros
    where there is none.
    """
    sizes = [2 ** (degree + 1) for degree in _POLYNOMIALS if 2 ** (degree + 1) <= dim]
    return (sizes[-1], sizes[-1] * (sizes[-1] + 2)) if sizes else (0, 0)


def kerdock(num_classes: int, dim: int) -> Array:
    """Return C points of N/2 + 1 mutually unbiased bases of R^N, zero-padded to d: unit rows (C, d) whose largest
    cosine is 1/sqrt(N).

    The standard basis, then (-1)^(Q(ax) + b.x) / sqrt(N) for each a, b, where the sum of two of Kerdock's quadratic
    forms has full rank; then all negatives.

    Source: Kerdock, 1972, in the form of Calderbank, Cameron, Kantor & Seidel, 1997.

    Raises:
        ValueError: if R^d has not so many of them.
    """
    size, most = kerdock_size(dim)
    if num_classes > most:
        raise ValueError(f"Kerdock's bases in {dim} dimensions have {most} points, not {num_classes}")
    forms = _kerdock_forms(size, min(-(-num_classes // size) - 1, size // 2))
    bases = [np.eye(size), *(scipy.linalg.hadamard(size) * (1 - 2 * form) / np.sqrt(size) for form in forms)]
    lines = np.concatenate(bases)
    points = np.zeros((num_classes, dim))
    points[:, :size] = np.concatenate([lines, -lines])[:num_classes]
    return points


def _kerdock_forms(size: int, count: int) -> list[NDArray[np.int64]]:
    """Return the values (N,) of the first ``count`` quadratic forms x -> Q(ax), Q(x, e) = sum_i Tr(x^(1 + 2^i)) + e
    Tr(x) on GF(N/2) x GF(2).
    """
    order = size // 2
    degree = order.bit_length() - 1

    def times(a: int, b: int) -> int:
        product = 0
        while b:
            product ^= a if b & 1 else 0
            a, b = a << 1, b >> 1
            a ^= _POLYNOMIALS[degree] if a >= order else 0
        return product

    def powers(x: int) -> list[int]:
        """x, x^2, x^4, ..."""
        found = [x]
        while len(found) < degree:
            found.append(times(found[-1], found[-1]))
        return found

    trace = np.array([functools.reduce(operator.xor, powers(x)) for x in range(order)])
    form = np.array([sum(trace[times(x, y)] for y in powers(x)[1 : (degree + 1) // 2]) % 2 for x in range(order)])
    scaled = [[times(a, x) for x in range(order)] for a in range(count)]
    return [np.concatenate([form[ax], (form[ax] + trace[ax]) % 2]) for ax in scaled]
