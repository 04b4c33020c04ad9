"""Optimisers that spread C points over the sphere in R^d.

In float64 on one thread, so that the same arguments give the same points.
"""

import numpy as np
import scipy
from threadpoolctl import threadpool_limits

from headbench.heads.geometry.codes import Array

# Log-sum-exp's inverse temperatures: the last is sharp enough that the smooth maximum is the maximum to about 1e-4.
ANNEALED = (30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5)


def log_sum_exp(flat: Array, shape: tuple[int, int], beta: float, two_sided: bool = False) -> tuple[float, Array]:
    """Return (1/beta) log sum_{i != j} exp(beta cos_ij) of the normalised rows and its gradient.

    |cos_ij| instead of cos_ij where ``two_sided``.
    """
    raw = flat.reshape(shape)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    points = raw / lengths
    scores = beta * (points @ points.T)
    signs = np.sign(scores) if two_sided else 1.0
    scores *= signs
    np.fill_diagonal(scores, -np.inf)
    top = scores.max()
    weights = np.exp(scores - top)
    total = weights.sum()
    slope = 2 * (signs * weights / total) @ points
    tangent = (slope - (slope * points).sum(axis=1, keepdims=True) * points) / lengths
    return float((top + np.log(total)) / beta), tangent.ravel()


def anneal(start: Array, betas: tuple[float, ...], iterations: int, two_sided: bool = False) -> tuple[Array, float]:
    """Minimise the log-sum-exp of the rows' cosines at each of ``betas`` in turn by L-BFGS (scipy).

    Args:
        start: (C, d), of any length.
        betas: inverse temperatures.
        iterations: at most, of each.
        two_sided: of absolute cosines.

    Returns:
        Unit rows (C, d) and the final objective.
    """
    flat, value = start.ravel(), np.inf
    options = {"maxcor": 20, "maxiter": iterations, "ftol": 1e-14, "gtol": 1e-9}
    with threadpool_limits(limits=1):
        for beta in betas:
            found = scipy.optimize.minimize(
                log_sum_exp, flat, (start.shape, beta, two_sided), "L-BFGS-B", jac=True, options=options
            )
            points = found.x.reshape(start.shape)
            flat, value = (points / np.linalg.norm(points, axis=1, keepdims=True)).ravel(), float(found.fun)
    return flat.reshape(start.shape), value


def best_anneal(
    num_classes: int,
    dim: int,
    seed: int,
    betas: tuple[float, ...],
    iterations: int,
    restarts: int,
    two_sided: bool = False,
) -> Array:
    """Return the best of :func:`anneal` from ``restarts`` random starts, by the final objective."""
    rng = np.random.default_rng(seed)
    found = [anneal(rng.standard_normal((num_classes, dim)), betas, iterations, two_sided) for _ in range(restarts)]
    return min(found, key=lambda pair: pair[1])[0]


def random_points(num_classes: int, dim: int, seed: int) -> Array:
    """Return unit rows (C, d) that are uniformly distributed on the sphere."""
    points = np.random.default_rng(seed).standard_normal((num_classes, dim))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def projected_gradient(points: Array, steps: int, rate: float = 0.1) -> Array:
    """Lower the mean over the rows of a row's largest cosine by gradient steps, each followed by a normalisation of the
    rows.

    Source: Mettes et al., NeurIPS 2019; as in the released code a step has no momentum, because its optimiser is made
    anew for every step.
    """
    points = points.copy()
    with threadpool_limits(limits=1):
        for _ in range(steps):
            cosines = points @ points.T
            np.fill_diagonal(cosines, -2)
            nearest = cosines.argmax(axis=1)
            slope = points[nearest]
            np.add.at(slope, nearest, points)
            points -= rate / len(points) * slope
            points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points
