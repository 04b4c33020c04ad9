"""Prototypes by name: C unit vectors in R^d for fixed-prototype heads, cached on disk by method, C, d and ``prototype_seed``."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import UserError, suggest
from heads import codes, prototype_files, spreading
from heads.certificate import lower_bound, max_abs_cosine, max_cosine
from heads.codes import Array
from heads.prototype_cache import Maker, kept_on_disk

# Neither start is the better one everywhere: 10 points in 3-d want the sharp one, 200 points in 25-d the smooth one.
STARTS = (spreading.ANNEALED, (2.0, 10.0, *spreading.ANNEALED))
STAGE_ITERATIONS = 300
# Random starts from each of STARTS: up to RESTARTS, fewer where C^2 d is large, so that about 90 s on one core are enough; above WORK fewer iterations.
RESTARTS, WORK = 32, 1e7
# Uniformity with t = 2 is log mean exp(-4 (1 - cos)): log-sum-exp at inverse temperature 4. 100 points in 10 and 25 dimensions take up to 770 iterations.
UNIFORM, UNIFORM_ITERATIONS, UNIFORM_RESTARTS = (4.0,), 5000, 6
# Of the released HPN code; the paper's text has fewer.
PROJECTED_STEPS = 10_000
FEWEST_ITERATIONS = 10
TABLE = Path(__file__).parent / "prototype_tables" / "separated.npz"
TABLE_SIZES = ((10, 3), (100, 3), (100, 5), (100, 10), (100, 16), (100, 25), (100, 32), (200, 25), (200, 50))


def separated(num_classes: int, dim: int, seed: int = 0) -> Array:
    """Return unit rows (C, d) whose largest cosine is the smallest that is known here.

    The simplex where C <= d + 1 and orthogonal simplices where C <= 2d, both proven optima; else the best of a known code that fits, the same refined, and
    annealed log-sum-exp from random starts. The seed draws those starts and deals the points of closed forms to the classes.
    """
    if num_classes <= dim + 1:
        return codes.simplex(num_classes, dim)
    if num_classes <= 2 * dim:
        return codes.simplex_blocks(num_classes, dim)[_deal(num_classes, seed)]
    shipped = shipped_table().get((num_classes, dim)) if seed == 0 else None
    return search_separated(num_classes, dim, seed) if shipped is None else shipped


@cache
def shipped_table() -> dict[tuple[int, int], Array]:
    """Return the results of :func:`search_separated` for seed 0 that come with the harness, by C and d; ``bench.py prototypes --rebuild-table`` makes them."""
    with np.load(TABLE, allow_pickle=False) as table:
        return {points.shape: points for points in table.values()}


def _deal(num_classes: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(num_classes)


@kept_on_disk("separated")
def search_separated(num_classes: int, dim: int, seed: int) -> Array:
    """Return the best of the known codes that fit, refined, and of annealed log-sum-exp from random starts, for C > 2d."""
    known = [points[_deal(num_classes, seed)] for points in _known_codes(num_classes, dim)]
    iterations = _iterations(num_classes, dim)
    optimal = lower_bound(num_classes, dim)[0] + 1e-9
    if known and (iterations < FEWEST_ITERATIONS or min(map(max_cosine, known)) <= optimal):
        return min(known, key=max_cosine)
    refined = [spreading.anneal(points, spreading.ANNEALED[3:], iterations)[0] for points in known]
    return min([*known, *refined, *_annealed(num_classes, dim, seed)], key=max_cosine)


def _iterations(num_classes: int, dim: int) -> int:
    return round(STAGE_ITERATIONS * min(1, WORK / (num_classes**2 * dim)))


def _annealed(num_classes: int, dim: int, seed: int, two_sided: bool = False) -> list[Array]:
    """Return the best of annealing from random points, once for each of STARTS."""
    restarts = int(np.clip(WORK / (num_classes**2 * dim), 1, RESTARTS))
    iterations = max(FEWEST_ITERATIONS, _iterations(num_classes, dim))
    return [spreading.best_anneal(num_classes, dim, seed, betas, iterations, restarts, two_sided) for betas in STARTS]


def _known_codes(num_classes: int, dim: int) -> list[Array]:
    """Return the codes of closed form, zero-padded, that have enough points in no more than d dimensions."""
    found = []
    if num_classes <= 100 and dim >= 22:
        found.append(np.pad(codes.higman_sims()[:num_classes], ((0, 0), (0, dim - 22))))
    if num_classes <= codes.kerdock_size(dim)[1]:
        found.append(codes.kerdock(num_classes, dim))
    return found


def uniform(num_classes: int, dim: int, seed: int = 0) -> Array:
    """Return unit rows (C, d) of least uniformity loss: the simplex where C <= d + 1, else L-BFGS on it.

    Source: the objective of Saadabadi et al., CVPR 2024 (uniformity, t = 2), minimised to convergence.
    """
    return codes.simplex(num_classes, dim) if num_classes <= dim + 1 else _search_uniform(num_classes, dim, seed)


@kept_on_disk("uniform")
def _search_uniform(num_classes: int, dim: int, seed: int) -> Array:
    return spreading.best_anneal(num_classes, dim, seed, UNIFORM, UNIFORM_ITERATIONS, UNIFORM_RESTARTS)


def equiangular(num_classes: int, dim: int, seed: int = 0) -> Array:
    """Return unit rows (C, d) of small largest absolute cosine: the least threshold alpha that equiangular basis vectors can be given.

    Orthonormal rows where C <= d, else annealed log-sum-exp of absolute cosines.

    Source: the two-sided criterion of Shen et al., CVPR 2023, who choose alpha by hand and stop when it is met.
    """
    return np.eye(num_classes, dim) if num_classes <= dim else _search_equiangular(num_classes, dim, seed)


@kept_on_disk("ebv")
def _search_equiangular(num_classes: int, dim: int, seed: int) -> Array:
    return min(_annealed(num_classes, dim, seed, two_sided=True), key=max_abs_cosine)


@kept_on_disk("hpn-pgd")
def projected_gradient(num_classes: int, dim: int, seed: int = 0) -> Array:
    """Return the unit rows (C, d) that HPN's own optimiser reaches from random ones, see :func:`heads.spreading.projected_gradient`."""
    return spreading.projected_gradient(spreading.random_points(num_classes, dim, seed), PROJECTED_STEPS)


METHODS: dict[str, Maker] = {
    "separated": separated,
    "uniform": uniform,
    "simplex": lambda num_classes, dim, seed: codes.simplex(num_classes, dim),
    "orthoplex": lambda num_classes, dim, seed: codes.orthoplex(num_classes, dim),
    "hpn-pgd": projected_gradient,
    "ebv": equiangular,
    "random": spreading.random_points,
}


def unsupported(method: str, num_classes: int, dim: int) -> str | None:
    """Return why a method or file has no C prototypes in R^d, or None where it has.

    Raises:
        UserError: for a name that is neither a method nor a readable file of prototypes.
    """
    if method not in METHODS:
        shape = _own(method).shape
        return None if shape == (num_classes, dim) else f"{Path(method).name} has {shape[0]} prototypes in {shape[1]} dimensions, not {num_classes} in {dim}"
    needed = {"simplex": num_classes - 1, "orthoplex": (num_classes + 1) // 2}.get(method, 2 if num_classes > 2 else 1)
    return None if dim >= needed else f"{method} prototypes of {num_classes} classes need d >= {needed}"


def make(method: str, num_classes: int, dim: int, seed: int = 0) -> Tensor:
    """Return prototypes (C, d) float64 with unit rows.

    Args:
        method: a key of :data:`METHODS`, or a file, see :func:`heads.prototype_files.read`.
        num_classes: C >= 2.
        dim: d.
        seed: ``prototype_seed``.

    Raises:
        UserError: for an unknown method, a file that cannot be read, or a C and d that the method does not have.
    """
    reason = unsupported(method, num_classes, dim)
    if reason:
        raise UserError(reason)
    return torch.from_numpy(METHODS[method](num_classes, dim, seed) if method in METHODS else _own(method))


def file_of(method: str) -> Path | None:
    """Return the file of prototypes that ``method`` names, or None for a method of ours.

    Raises:
        UserError: if it is neither.
    """
    if method in METHODS:
        return None
    path = Path(method).expanduser()
    if path.suffix not in prototype_files.FORMATS:
        raise UserError(f"prototypes: unknown method '{method}'; {suggest(method, METHODS)} (or a file of type {', '.join(prototype_files.FORMATS)})")
    if not path.is_file():
        raise UserError(f"prototypes: there is no file {path}")
    return path


def _own(method: str) -> Array:
    path = file_of(method)
    assert path is not None
    return prototype_files.read(path)
