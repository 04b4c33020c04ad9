"""Prototypes: C unit vectors in R^d, spread out. Pure functions in float64, the same on any number of threads, cached on disk."""

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

from heads.codes import Array, simplex, simplex_blocks

# Log-sum-exp's inverse temperatures: the last is sharp enough that the smooth maximum is the maximum to about 1e-4.
ANNEALED = (30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5)
STAGE_ITERATIONS = 300
# Uniformity with t = 2 is log mean exp(-2 |p_i - p_j|^2) = log mean exp(-4 (1 - cos)): log-sum-exp at inverse temperature 4.
UNIFORM = (4.0,)
# 100 points in 10 and 25 dimensions take up to 770 and 690.
UNIFORM_ITERATIONS = 5000
RESTARTS = 6
VERSION = 2


def max_cosine(points: Array) -> float:
    """Return the largest cosine between two different unit rows of (C, d)."""
    cosines = points @ points.T
    np.fill_diagonal(cosines, -np.inf)
    return float(cosines.max())


def uniformity(points: Array) -> float:
    """Return log mean_{i<j} exp(-2 |p_i - p_j|^2) of unit rows (C, d), the lower the more uniform (Wang & Isola, ICML 2020, t = 2)."""
    above = np.triu_indices(len(points), k=1)
    return float(np.log(np.exp(-4 * (1 - (points @ points.T)[above])).mean()))


def _log_sum_exp(flat: Array, shape: tuple[int, int], beta: float) -> tuple[float, Array]:
    """Return (1/beta) log sum_{i != j} exp(beta cos_ij) of the normalised rows, and its gradient."""
    raw = flat.reshape(shape)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    points = raw / lengths
    scores = beta * (points @ points.T)
    np.fill_diagonal(scores, -np.inf)
    top = scores.max()
    weights = np.exp(scores - top)
    total = weights.sum()
    slope = 2 * (weights / total) @ points
    tangent = (slope - (slope * points).sum(axis=1, keepdims=True) * points) / lengths
    return float((top + np.log(total)) / beta), tangent.ravel()


def minimise_log_sum_exp(num_classes: int, dim: int, betas: tuple[float, ...], seed: int, iterations: int, restarts: int = RESTARTS) -> Array:
    """Return unit rows (C, d) that minimise the log-sum-exp of their cosines at the last of ``betas``, annealed through the earlier ones.

    L-BFGS (scipy) from ``restarts`` random starts; the best of them by the final objective. One thread, so that the result does not depend on their number.
    """
    rng = np.random.default_rng(seed)
    best, best_value = np.empty((0, dim)), np.inf
    with threadpool_limits(limits=1):
        for _ in range(restarts):
            flat, value = rng.standard_normal(num_classes * dim), np.inf
            for beta in betas:
                options = {"maxcor": 20, "maxiter": iterations, "ftol": 1e-14, "gtol": 1e-9}
                found = minimize(_log_sum_exp, flat, ((num_classes, dim), beta), "L-BFGS-B", jac=True, options=options)
                points = found.x.reshape(num_classes, dim)
                flat, value = (points / np.linalg.norm(points, axis=1, keepdims=True)).ravel(), float(found.fun)
            if value < best_value:
                best, best_value = flat.reshape(num_classes, dim), value
    return best


def separated(num_classes: int, dim: int, seed: int = 0) -> Tensor:
    """Return prototypes (C, d) float64 of small maximal cosine.

    The simplex where C <= d + 1, orthogonal simplices where C <= 2d (both optimal; the seed deals the vertices to the classes), else annealed log-sum-exp.
    """
    if dim + 2 <= num_classes <= 2 * dim:
        order = np.random.default_rng(seed).permutation(num_classes)
        return torch.from_numpy(simplex_blocks(num_classes, dim)[order])
    return _spread("separated", num_classes, dim, ANNEALED, STAGE_ITERATIONS, seed)


def uniform(num_classes: int, dim: int, seed: int = 0) -> Tensor:
    """Return prototypes (C, d) float64 of least uniformity loss: the simplex where C <= d + 1, else L-BFGS on it.

    Source: the objective of Saadabadi et al., CVPR 2024 (uniformity, t = 2), minimised to convergence.
    """
    return _spread("uniform", num_classes, dim, UNIFORM, UNIFORM_ITERATIONS, seed)


def _spread(method: str, num_classes: int, dim: int, betas: tuple[float, ...], iterations: int, seed: int) -> Tensor:
    if num_classes <= dim + 1:
        return torch.from_numpy(simplex(num_classes, dim))
    path = cache_folder() / f"{method}-{num_classes}x{dim}-seed{seed}-v{VERSION}.npy"
    points = _read(path, (num_classes, dim))
    if points is None:
        points = minimise_log_sum_exp(num_classes, dim, betas, seed, iterations)
        _write(path, points)
    return torch.from_numpy(points)


def cache_folder() -> Path:
    """Return the folder of computed prototypes: ``$HEADBENCH_CACHE``, else ``~/.cache/headbench``, then ``prototypes``."""
    return Path(os.environ.get("HEADBENCH_CACHE", "~/.cache/headbench")).expanduser() / "prototypes"


def _read(path: Path, shape: tuple[int, int]) -> Array | None:
    """Return the cached rows, or None where there are none or the file is damaged."""
    try:
        points = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = points.shape == shape and points.dtype == np.float64 and np.allclose(np.linalg.norm(points, axis=1), 1, atol=1e-12)
    return points if sound else None


def _write(path: Path, points: Array) -> None:
    """Write the cache file atomically; a folder that cannot be written only costs the computation next time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
            np.save(file, points)
        Path(file.name).replace(path)
    except OSError:
        return
