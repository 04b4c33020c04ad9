"""Optimisers of prototypes: gradients, one step by hand, optima that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from headbench.heads.geometry import annealing
from headbench.heads.geometry.certificate import max_cosine, uniformity


@settings(max_examples=30, deadline=None)
@given(
    num_classes=st.integers(3, 8),
    dim=st.integers(2, 5),
    beta=st.floats(1, 50),
    seed=st.integers(0, 100),
    two_sided=st.booleans(),
)
def test_gradient_of_log_sum_exp(num_classes: int, dim: int, beta: float, seed: int, two_sided: bool) -> None:
    flat = np.random.default_rng(seed).standard_normal(num_classes * dim)
    shape = (num_classes, dim)
    error = check_grad(
        lambda x: annealing.log_sum_exp(x, shape, beta, two_sided)[0],
        lambda x: annealing.log_sum_exp(x, shape, beta, two_sided)[1],
        flat,
    )
    assert error < 1e-4


def test_log_sum_exp_is_the_uniformity_loss() -> None:
    """(1/4) log sum_{i != j} exp(4 cos) = (U + 4 + log(C (C - 1))) / 4."""
    points = annealing.random_points(7, 3, 0)
    assert annealing.log_sum_exp(points.ravel(), (7, 3), 4.0)[0] == pytest.approx(
        (uniformity(points) + 4 + np.log(7 * 6)) / 4
    )


def test_two_sided_log_sum_exp_takes_absolute_cosines() -> None:
    points = annealing.random_points(7, 3, 0)
    cosines = np.abs(points @ points.T)[~np.eye(7, dtype=bool)]
    assert annealing.log_sum_exp(points.ravel(), (7, 3), 5.0, two_sided=True)[0] == pytest.approx(
        np.log(np.exp(5 * cosines).sum()) / 5
    )


def test_one_projected_step_by_hand() -> None:
    """Three points in the plane: 1 and 2 are each other's nearest, and 3's nearest is 2."""
    angles = np.array([0.0, 0.5, 2.0])
    p = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    slope = np.stack([p[1] + p[1], p[0] + p[0] + p[2], p[1]]) / 3
    expected = p - 0.1 * slope
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(annealing.projected_gradient(p, steps=1), expected, atol=1e-12)


def test_projected_steps_spread_points() -> None:
    start = annealing.random_points(6, 3, 0)
    assert max_cosine(start) > 0.3
    assert max_cosine(annealing.projected_gradient(start, steps=2000)) < 0.1


def test_random_points_cover_the_sphere() -> None:
    """Uniform on the sphere: mean zero and second moments 1/d."""
    points = annealing.random_points(50_000, 4, 1)
    assert np.allclose(np.linalg.norm(points, axis=1), 1)
    assert np.allclose(points.mean(axis=0), 0, atol=0.01)
    assert np.allclose(points.T @ points / 50_000, np.eye(4) / 4, atol=0.01)
