"""Prototypes by name: C unit vectors in R^d for fixed-prototype heads, cached on disk by method, C, d and
``prototype_seed``.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from headbench.core.errors import UserError, suggest
from headbench.core.folders import expanded
from headbench.heads.geometry import annealing, codes, files
from headbench.heads.geometry.cache import Maker, kept_on_disk
from headbench.heads.geometry.certificate import lower_bound, max_abs_cosine, max_cosine
from headbench.heads.geometry.codes import Array

# Neither start is the better one everywhere: 10 points in 3-d want the sharp one, 200 points in 25-d the smooth one.
STARTS = (annealing.ANNEALED, (2.0, 10.0, *annealing.ANNEALED))
STAGE_ITERATIONS = 300
# A step costs about C^2 d. Up to RESTARTS random starts from each of STARTS, as many as stay within WORK, then fewer
# iterations: about 90 s on one core up to C^2 d = 3e8, and longer beyond.
RESTARTS, WORK, FEWEST_ITERATIONS = 32, 1e7, 10
# Uniformity with t = 2 is log mean exp(-4 (1 - cos)): log-sum-exp at inverse temperature 4. 100 points in 10 and 25
# dimensions take up to 770 iterations.
UNIFORM, UNIFORM_ITERATIONS, UNIFORM_RESTARTS = (4.0,), 5000, 6
# Of the released HPN code; the paper's text has fewer.
PROJECTED_STEPS = 10_000
# Numbers in the largest matrix: of 20,000 classes 3.2 GB.
LARGEST = 4e8
TABLE = Path(__file__).parents[1] / "prototype_tables" / "separated.npz"
TABLE_SIZES = ((10, 3), (100, 3), (100, 5), (100, 10), (100, 16), (100, 25), (100, 32), (200, 25), (200, 50))


def placed(points: Array, seed: int) -> Array:
    """Return points of a closed form (C, d) in random order and orientation.

    The order deals them to the classes. The orientation matters where features cannot take every direction: without a
    projection they come out of a ReLU, and points along the axes would then leave some classes without a feature that
    is nearest to them.

    Source: the orthogonal factor of a Gaussian matrix with positive diagonal, uniform on the orthogonal group
    (Mezzadri, 2007).
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(points))
    with threadpool_limits(limits=1):
        rotation, triangle = np.linalg.qr(rng.standard_normal((points.shape[1], points.shape[1])))
        turned: Array = points[order] @ (rotation * np.sign(np.diag(triangle)))
    return turned


def separated(num_classes: int, dim: int, seed: int = 0) -> Array:
    """Return unit rows (C, d) whose largest cosine is the smallest that is known here.

    The simplex where C <= d + 1, orthogonal simplices where C <= 2d and the regular polygon where d = 2, all proven
    optima; else the best of a known code that fits, the same refined, and annealed log-sum-exp from random starts. The
    seed draws those starts, and places closed forms.
    """
    if num_classes <= dim + 1:
        return placed(codes.simplex(num_classes, dim), seed)
    if num_classes <= 2 * dim:
        return placed(codes.simplex_blocks(num_classes, dim), seed)
    if dim == 2:
        return placed(codes.polygon(num_classes), seed)
    shipped = shipped_table().get((num_classes, dim)) if seed == 0 else None
    return search_separated(num_classes, dim, seed) if shipped is None else shipped


@cache
def shipped_table() -> dict[tuple[int, int], Array]:
    """Return the results of :func:`search_separated` for seed 0 that come with the harness, by C and d; ``bench.py
    prototypes --rebuild-table`` makes them.
    """
    with np.load(TABLE, allow_pickle=False) as table:
        return {points.shape: points for points in table.values()}


@kept_on_disk("separated")
def search_separated(num_classes: int, dim: int, seed: int) -> Array:
    """Return unit rows (C, d) of the smallest largest cosine that :func:`search` finds."""
    return search(num_classes, dim, seed)


def search(num_classes: int, dim: int, seed: int, two_sided: bool = False) -> Array:
    """Return the best, by largest cosine or largest absolute cosine, of known codes that fit, the same refined, and
    annealing from random points.
    """
    criterion = max_abs_cosine if two_sided else max_cosine
    work = num_classes**2 * dim
    iterations = round(STAGE_ITERATIONS * min(1, WORK / work))
    known = [placed(points, seed) for points in _known_codes(num_classes, dim, two_sided)]
    optimal = lower_bound(num_classes, dim)[0] + 1e-9
    if known and (iterations < FEWEST_ITERATIONS or min(map(criterion, known)) <= optimal):
        return min(known, key=criterion)
    iterations = max(iterations, FEWEST_ITERATIONS)
    refined = [annealing.anneal(points, annealing.ANNEALED[3:], iterations, two_sided)[0] for points in known]
    restarts = int(np.clip(WORK / work, 1, RESTARTS))
    annealed = [
        annealing.best_anneal(num_classes, dim, seed, betas, iterations, restarts, two_sided) for betas in STARTS
    ]
    return min([*known, *refined, *annealed], key=criterion)


def _known_codes(num_classes: int, dim: int, two_sided: bool) -> list[Array]:
    """Return the codes of closed form, zero-padded, that have enough points in no more than d dimensions.

    For two sides without antipodal pairs.
    """
    found = []
    if num_classes <= 100 and dim >= 22:
        found.append(np.pad(codes.higman_sims()[:num_classes], ((0, 0), (0, dim - 22))))
    if num_classes <= codes.kerdock_size(dim)[1] // (2 if two_sided else 1):
        found.append(codes.kerdock(num_classes, dim))
    return found


def uniform(num_classes: int, dim: int, seed: int = 0) -> Array:
    """Return unit rows (C, d) of least uniformity loss: the simplex where C <= d + 1, else L-BFGS on it.

    Source: the objective of Saadabadi et al., CVPR 2024 (uniformity, t = 2), minimised to convergence up to some
    hundreds of classes.
    """
    return (
        placed(codes.simplex(num_classes, dim), seed)
        if num_classes <= dim + 1
        else _search_uniform(num_classes, dim, seed)
    )


@kept_on_disk("uniform")
def _search_uniform(num_classes: int, dim: int, seed: int) -> Array:
    work = num_classes**2 * dim
    restarts = int(np.clip(2 * WORK / work, 1, UNIFORM_RESTARTS))
    iterations = int(np.clip(10 * WORK / work * UNIFORM_ITERATIONS, FEWEST_ITERATIONS, UNIFORM_ITERATIONS))
    return annealing.best_anneal(num_classes, dim, seed, UNIFORM, iterations, restarts)


def equiangular(num_classes: int, dim: int, seed: int = 0) -> Array:
    """Return unit rows (C, d) of small largest absolute cosine: the least threshold alpha that equiangular basis
    vectors can be given.

    Orthonormal rows where C <= d, else annealed log-sum-exp of absolute cosines.

    Source: the two-sided criterion of Shen et al., CVPR 2023, who choose alpha by hand and stop when it is met.
    """
    return placed(np.eye(num_classes, dim), seed) if num_classes <= dim else _search_equiangular(num_classes, dim, seed)


@kept_on_disk("ebv")
def _search_equiangular(num_classes: int, dim: int, seed: int) -> Array:
    return search(num_classes, dim, seed, two_sided=True)


@kept_on_disk("hpn-pgd")
def projected_gradient(num_classes: int, dim: int, seed: int = 0) -> Array:
    """Return the unit rows (C, d) that HPN's own optimiser reaches from random ones, see
    :func:`headbench.heads.geometry.annealing.projected_gradient`.
    """
    return annealing.projected_gradient(annealing.random_points(num_classes, dim, seed), PROJECTED_STEPS)


METHODS: dict[str, Maker] = {
    "separated": separated,
    "uniform": uniform,
    "simplex": lambda num_classes, dim, seed: placed(codes.simplex(num_classes, dim), seed),
    "orthoplex": lambda num_classes, dim, seed: placed(codes.orthoplex(num_classes, dim), seed),
    "hpn-pgd": projected_gradient,
    "ebv": equiangular,
    "random": annealing.random_points,
}


def unsupported(method: str, num_classes: int, dim: int) -> str | None:
    """Return why a method or file has no C prototypes in R^d, or None where it has.

    Raises:
        UserError: for a name that is neither a method nor a readable file of prototypes.
    """
    if method not in METHODS:
        shape = files.shape(_file(method))
        return (
            None
            if shape == (num_classes, dim)
            else f"{Path(method).name} has {shape[0]} prototypes in {shape[1]} dimensions, not {num_classes} in {dim}"
        )
    # What begins with random points is these alone; what has a closed form is turned by a matrix (d, d).
    turned = num_classes <= 2 * dim and method not in {"random", "hpn-pgd"}
    size = max(num_classes, dim) * dim if turned else num_classes * (dim if num_classes <= 2 * dim else num_classes)
    if size > LARGEST:
        return f"{num_classes} prototypes in {dim} dimensions are more than can be computed here"
    needed = {"simplex": num_classes - 1, "orthoplex": (num_classes + 1) // 2}.get(method, 2 if num_classes > 2 else 1)
    return None if dim >= needed else f"{method} prototypes of {num_classes} classes need d >= {needed}"


def make(method: str, num_classes: int, dim: int, seed: int = 0) -> Tensor:
    """Return prototypes (C, d) float64 with unit rows.

    Args:
        method: a key of :data:`METHODS`, or a file, see :func:`headbench.heads.geometry.files.read`.
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
    path = expanded(method)
    if path.suffix not in files.FORMATS:
        raise UserError(
            f"prototypes: unknown method '{method}'; {suggest(method, METHODS)} (or a file of type "
            f"{', '.join(files.FORMATS)})"
        )
    if not path.is_file():
        raise UserError(f"prototypes: there is no file {path}")
    return path


def _own(method: str) -> Array:
    return files.read(_file(method))


def _file(method: str) -> Path:
    path = file_of(method)
    assert path is not None
    return path
