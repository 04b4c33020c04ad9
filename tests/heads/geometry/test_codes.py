"""Codes in closed form against what defines them."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headbench.heads.geometry import codes
from headbench.heads.geometry.certificate import lower_bound, max_cosine
from headbench.heads.geometry.codes import Array


@pytest.mark.parametrize("num_classes", [2, 3, 10, 1000])
def test_simplex(num_classes: int) -> None:
    points = codes.simplex(num_classes, num_classes - 1)
    gram = np.full((num_classes, num_classes), -1 / (num_classes - 1))
    np.fill_diagonal(gram, 1)
    assert np.allclose(points @ points.T, gram, atol=1e-12)
    assert np.allclose(points.sum(axis=0), 0, atol=1e-12)
    assert np.allclose(points.T @ points, num_classes / (num_classes - 1) * np.eye(num_classes - 1), atol=1e-10)
    assert np.array_equal(points, np.tril(points))
    assert np.all(codes.simplex(num_classes, num_classes + 5)[:, num_classes - 1 :] == 0)


@settings(max_examples=40, deadline=None)
@given(dim=st.integers(2, 120), share=st.floats(0, 1))
def test_orthogonal_simplices(dim: int, share: float) -> None:
    """Unit rows that span all of R^d, sum to zero and have no cosine above 0; each touches simplex mates only."""
    num_classes = dim + 2 + round(share * (dim - 2))
    points = codes.simplex_blocks(num_classes, dim)
    gram = points @ points.T
    assert points.shape == (num_classes, dim)
    assert np.allclose(np.diag(gram), 1, atol=1e-12)
    assert abs(max_cosine(points)) <= 1e-12
    assert np.linalg.matrix_rank(points) == dim
    assert np.allclose(points.sum(axis=0), 0, atol=1e-10)
    sizes = 1 + (gram < -1e-9).sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


def test_orthoplex() -> None:
    points = codes.orthoplex(7, 4)
    assert np.array_equal(
        points @ points.T, np.eye(7) - np.array([[i // 2 == j // 2 and i != j for j in range(7)] for i in range(7)])
    )


def test_golay_octads_are_a_steiner_system() -> None:
    """759 blocks of 8 among 24, any two sharing 0, 2 or 4: then every five points lie in exactly one of them."""
    octads = codes.golay_octads()
    assert octads.shape == (759, 24)
    shared = octads @ octads.T
    assert set(np.unique(shared[~np.eye(759, dtype=bool)])) == {0, 2, 4}
    rng = np.random.default_rng(0)
    for _ in range(50):
        five = rng.choice(24, 5, replace=False)
        assert octads[:, five].all(axis=1).sum() == 1


def test_higman_sims_from_its_definition() -> None:
    """100 unit vectors of rank 22 with cosines -4/11 and 1/11.

    The former are the edges of a strongly regular graph (100, 22, 0, 6).
    """
    points = codes.higman_sims()
    assert points.shape == (100, 22)
    gram = points @ points.T
    assert np.allclose(np.diag(gram), 1, atol=1e-12)
    adjacency = (gram < 0).astype(int)
    assert np.allclose(gram, np.eye(100) - 4 / 11 * adjacency + (1 - np.eye(100) - adjacency) / 11, atol=1e-12)
    assert np.array_equal(adjacency @ adjacency, 22 * np.eye(100) + 6 * (1 - np.eye(100) - adjacency))
    assert max_cosine(points) == pytest.approx(lower_bound(100, 22)[0], abs=1e-12)


@pytest.mark.parametrize("size", [16, 64])
def test_kerdock_bases_are_mutually_unbiased(size: int) -> None:
    most = size * (size + 2)
    points = codes.kerdock(most, size)
    lines = points[: most // 2]
    assert np.array_equal(points[most // 2 :], -lines)
    gram = np.abs(lines @ lines.T)
    same = np.kron(np.eye(size // 2 + 1), np.ones((size, size)))
    assert np.allclose(gram, np.where(same, np.eye(len(lines)), 1 / np.sqrt(size)), atol=1e-12)


def test_kerdock_in_large_dimensions() -> None:
    points = codes.kerdock(2000, 300)
    assert points.shape == (2000, 300)
    assert not points[:, 256:].any()
    assert max_cosine(points) == pytest.approx(1 / 16, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "num_classes", "dim"),
    [
        (codes.simplex, 4, 2),
        (codes.simplex_blocks, 6, 5),
        (codes.simplex_blocks, 6, 2),
        (codes.orthoplex, 7, 3),
        (codes.kerdock, 289, 16),
        (codes.kerdock, 3, 8),
    ],
)
def test_what_does_not_exist_is_refused(make: Callable[[int, int], Array], num_classes: int, dim: int) -> None:
    with pytest.raises(ValueError, match=str(num_classes)):
        make(num_classes, dim)
