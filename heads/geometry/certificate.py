"""How well C points are spread over the sphere in R^d, and how far that is from what is proven to be possible."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy

from headbench.heads.geometry.codes import Array

# Rows of the cosine matrix that are in memory at a time: 8,142 classes would need half a gigabyte at once.
ROWS = 1024


@dataclass(frozen=True)
class Certificate:
    """What is known of a set of unit rows (C, d).

    Attributes:
        num_classes: C.
        dim: d.
        max_cosine: largest cosine between two of them.
        mean_max_cosine: mean over the rows of a row's largest cosine.
        max_abs_cosine: largest absolute cosine.
        uniformity: log mean exp(-2 |p_i - p_j|^2).
        bound: no C points in R^d have a smaller largest cosine.
        bound_name: who proved it.
    """

    num_classes: int
    dim: int
    max_cosine: float
    mean_max_cosine: float
    max_abs_cosine: float
    uniformity: float
    bound: float
    bound_name: str

    @property
    def gap(self) -> float:
        """Largest cosine minus its lower bound."""
        return self.max_cosine - self.bound


def certify(points: Array) -> Certificate:
    """Return the certificate of unit rows (C, d), C >= 2."""
    largest = np.concatenate([cosines.max(axis=1) for cosines in _other_cosines(points)])
    bound, name = lower_bound(*points.shape)
    num_classes, dim = points.shape
    return Certificate(
        num_classes,
        dim,
        float(largest.max()),
        float(largest.mean()),
        max_abs_cosine(points),
        uniformity(points),
        bound,
        name,
    )


def _other_cosines(points: Array) -> Iterator[Array]:
    """Yield the cosines of some rows with all rows, (rows, C), -inf where a row meets itself."""
    for start in range(0, len(points), ROWS):
        cosines = points[start : start + ROWS] @ points.T
        own = np.arange(len(cosines))
        cosines[own, start + own] = -np.inf
        yield cosines


def max_cosine(points: Array) -> float:
    """Return the largest cosine between two different unit rows of (C, d)."""
    return max(float(cosines.max()) for cosines in _other_cosines(points))


def nearest_pairs(points: Array, cosine: float) -> list[tuple[int, int]]:
    """Return the numbers of all two different unit rows of (C, d) whose cosine is at least ``cosine``, in order."""
    pairs, start = list[tuple[int, int]](), 0
    for cosines in _other_cosines(points):
        pairs += [(start + int(row), int(other)) for row, other in np.argwhere(cosines >= cosine)]
        start += len(cosines)
    return [(first, second) for first, second in pairs if first < second]


def max_abs_cosine(points: Array) -> float:
    """Return the largest absolute cosine between two different unit rows of (C, d)."""
    return max(float(np.abs(cosines).max(where=np.isfinite(cosines), initial=0)) for cosines in _other_cosines(points))


def uniformity(points: Array) -> float:
    """Return log mean_{i != j} exp(-2 |p_i - p_j|^2) of unit rows (C, d), the lower the more uniform.

    Source: Wang & Isola, ICML 2020, with t = 2; |p_i - p_j|^2 = 2 (1 - cos).
    """
    total = sum(float(np.exp(4 * (cosines - 1)).sum()) for cosines in _other_cosines(points))
    return math.log(total / (len(points) * (len(points) - 1)))


def lower_bound(num_classes: int, dim: int) -> tuple[float, str]:
    """Return a proven lower bound of the largest cosine of C points in R^d, and its name.

    Exact for C <= 2d and for d <= 2, else the better of Levenshtein's and, for d = 3, Fejes Toth's bound.

    Sources: Rankin, 1955; Fejes Toth, 1943; Levenshtein, 1979, in the form of "Universal bounds for codes and designs",
    1998.

    Raises:
        ValueError: for fewer than two points or no dimension.
    """
    if num_classes < 2 or dim < 1:
        raise ValueError(f"{num_classes} points in {dim} dimensions have no largest cosine")
    if num_classes <= dim + 1:
        return -1 / (num_classes - 1), "simplex"
    if dim == 1:
        return 1.0, "line"
    if dim == 2:
        return math.cos(2 * math.pi / num_classes), "polygon"
    if num_classes <= 2 * dim:
        return 0.0, "Rankin"
    bounds = [(levenshtein_bound(num_classes, dim), "Levenshtein")]
    if dim == 3:
        square = 1 / math.tan(math.pi * num_classes / (6 * (num_classes - 2))) ** 2
        bounds.append(((square - 1) / 2, "Fejes Toth"))
    return max(bounds)


def levenshtein_bound(num_classes: int, dim: int) -> float:
    """Return the cosine s at which Levenshtein's bound on the number of points in R^d, d >= 3, reaches C > 2d."""
    degree = 3
    while levenshtein_size(_takes_over(degree, dim), dim, degree) < num_classes:
        degree += 1
    low, high = _takes_over(degree - 1, dim), _takes_over(degree, dim)
    if levenshtein_size(low, dim, degree) >= num_classes:
        return low
    return float(scipy.optimize.brentq(lambda s: levenshtein_size(s, dim, degree) - num_classes, low, high, xtol=1e-14))


def _takes_over(degree: int, dim: int) -> float:
    """Return the cosine up to which Levenshtein's bound of this degree is valid: the largest zero of a Jacobi
    polynomial.
    """
    zeros, _ = scipy.special.roots_jacobi((degree + 1) // 2, (dim - 1) / 2, (dim - 3) / 2 + (degree + 1) % 2)
    return float(zeros.max())


def levenshtein_size(cosine: float, dim: int, degree: int) -> float:
    """Return Levenshtein's bound of one degree: how many points in R^d can have all cosines at most ``cosine``."""

    def gegenbauer(order: int) -> float:
        index = dim / 2 - 1
        here, at_one = (scipy.special.eval_gegenbauer(order, index, x) for x in (cosine, 1.0))
        return float(here / at_one)

    half = (degree + 1) // 2
    if degree % 2:
        ratio = (gegenbauer(half - 1) - gegenbauer(half)) / ((1 - cosine) * gegenbauer(half))
        return float(scipy.special.binom(half + dim - 3, half - 1) * ((2 * half + dim - 3) / (dim - 1) - ratio))
    ratio = (
        (1 + cosine)
        * (gegenbauer(half) - gegenbauer(half + 1))
        / ((1 - cosine) * (gegenbauer(half) + gegenbauer(half + 1)))
    )
    return float(scipy.special.binom(half + dim - 2, half) * ((2 * half + dim - 1) / (dim - 1) - ratio))
