"""Prototypes: the simplex, the proven optima, the gradient, the cache."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from heads import prototypes
from heads.codes import simplex, simplex_blocks
from heads.prototypes import max_cosine, separated, uniform, uniformity


@pytest.mark.parametrize("num_classes", [2, 3, 10, 1000])
def test_simplex(num_classes: int) -> None:
    points = simplex(num_classes, num_classes - 1)
    gram = np.full((num_classes, num_classes), -1 / (num_classes - 1))
    np.fill_diagonal(gram, 1)
    assert np.allclose(points @ points.T, gram, atol=1e-12)
    assert np.allclose(points.sum(axis=0), 0, atol=1e-12)
    assert np.allclose(points.T @ points, num_classes / (num_classes - 1) * np.eye(num_classes - 1), atol=1e-10)


def test_a_simplex_is_padded_or_refused() -> None:
    assert np.all(simplex(4, 10)[:, 3:] == 0)
    with pytest.raises(ValueError, match="needs at least 3 dimensions, not 2"):
        simplex(4, 2)


@settings(max_examples=40, deadline=None)
@given(dim=st.integers(2, 120), share=st.floats(0, 1))
def test_orthogonal_simplices(dim: int, share: float) -> None:
    """Unit rows that span all of R^d, sum to zero and have no cosine above 0; each touches simplex mates only."""
    num_classes = dim + 2 + round(share * (dim - 2))
    points = simplex_blocks(num_classes, dim)
    gram = points @ points.T
    assert points.shape == (num_classes, dim)
    assert np.allclose(np.diag(gram), 1, atol=1e-12)
    assert abs(max_cosine(points)) <= 1e-12
    assert np.linalg.matrix_rank(points) == dim
    assert np.allclose(points.sum(axis=0), 0, atol=1e-10)
    sizes = 1 + (gram < -1e-9).sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(("num_classes", "dim"), [(6, 5), (6, 2), (7, 3)])
def test_orthogonal_simplices_are_refused_elsewhere(num_classes: int, dim: int) -> None:
    with pytest.raises(ValueError, match=f"not d = {dim}"):
        simplex_blocks(num_classes, dim)


@pytest.mark.parametrize(("num_classes", "dim"), [(100, 50), (100, 84), (200, 100), (1000, 512)])
def test_separated_is_optimal_up_to_twice_the_dimension(num_classes: int, dim: int) -> None:
    assert abs(max_cosine(separated(num_classes, dim).numpy())) <= 1e-12


@pytest.mark.parametrize(
    ("num_classes", "dim", "optimum"), [(10, 2, np.cos(2 * np.pi / 10)), (6, 3, 0), (12, 3, 1 / np.sqrt(5)), (10, 5, 0), (10, 3, 0.404394)]
)
def test_separated_reaches_the_known_optimum(num_classes: int, dim: int, optimum: float) -> None:
    """Polygon, octahedron, icosahedron, orthoplex, and the Tammes problem for 10 points."""
    reached = max_cosine(separated(num_classes, dim).numpy())
    assert optimum - 1e-6 <= reached <= optimum + 2e-5


@pytest.mark.parametrize(("num_classes", "dim"), [(6, 3), (10, 5)])
def test_uniform_reaches_the_orthoplex(num_classes: int, dim: int) -> None:
    """At C = 2d the minimiser is the orthoplex: U = log(((2d-2) e^-4 + e^-8) / (2d-1))."""
    expected = np.log(((2 * dim - 2) * np.exp(-4) + np.exp(-8)) / (2 * dim - 1))
    assert uniformity(uniform(num_classes, dim).numpy()) == pytest.approx(expected, abs=1e-8)


def test_uniformity_of_a_simplex() -> None:
    assert uniformity(simplex(10, 9)) == pytest.approx(-4 * 10 / 9)


@settings(max_examples=20, deadline=None)
@given(num_classes=st.integers(3, 8), dim=st.integers(2, 5), beta=st.floats(1, 50), seed=st.integers(0, 100))
def test_gradient_of_log_sum_exp(num_classes: int, dim: int, beta: float, seed: int) -> None:
    flat = np.random.default_rng(seed).standard_normal(num_classes * dim)
    shape = (num_classes, dim)
    error = check_grad(lambda x: prototypes._log_sum_exp(x, shape, beta)[0], lambda x: prototypes._log_sum_exp(x, shape, beta)[1], flat)
    assert error < 1e-4


def test_log_sum_exp_is_the_uniformity_loss() -> None:
    """(1/4) log sum_{i != j} exp(4 cos) = (U + 4 + log(C (C - 1))) / 4."""
    points = np.random.default_rng(0).standard_normal((7, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    value = prototypes._log_sum_exp(points.ravel(), (7, 3), 4.0)[0]
    assert value == pytest.approx((uniformity(points) + 4 + np.log(7 * 6)) / 4)


@settings(max_examples=15, deadline=None)
@given(num_classes=st.integers(2, 12), dim=st.integers(1, 12))
def test_rows_are_unit_and_no_better_than_the_simplex_bound(num_classes: int, dim: int) -> None:
    if dim == 1 and num_classes > 2:
        return
    for points in (separated(num_classes, dim).numpy(), uniform(num_classes, dim).numpy()):
        assert points.shape == (num_classes, dim)
        assert np.allclose(np.linalg.norm(points, axis=1), 1, atol=1e-9)
        assert max_cosine(points) >= -1 / (num_classes - 1) - 1e-9


def test_the_cache_is_used_and_a_damaged_file_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))
    first = separated(7, 3)
    (file,) = prototypes.cache_folder().iterdir()
    monkeypatch.setattr(prototypes, "minimise_log_sum_exp", lambda *_: pytest.fail("computed again"))
    assert np.array_equal(separated(7, 3), first)
    monkeypatch.undo()
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))
    for damage in (b"", file.read_bytes()[:-20], file.read_bytes()[:-8] + b"\0" * 8):
        file.write_bytes(damage)
        assert np.array_equal(separated(7, 3), first)


def test_seeds_give_other_prototypes() -> None:
    for dim in (3, 4):
        assert not np.allclose(separated(7, dim, seed=0), separated(7, dim, seed=1))
