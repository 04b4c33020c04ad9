"""Prototypes by name: what the searches reach, the shipped table, files, the cache."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headbench.core.errors import UserError
from headbench.heads.geometry import annealing, cache, codes, methods
from headbench.heads.geometry.certificate import certify, max_abs_cosine, max_cosine, uniformity
from headbench.heads.geometry.methods import METHODS, make, separated, uniform


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("num_classes", "dim", "optimum"), [(10, 2, np.cos(2 * np.pi / 10)), (12, 3, 1 / np.sqrt(5)), (10, 3, 0.404394)]
)
def test_separated_reaches_the_known_optimum(num_classes: int, dim: int, optimum: float) -> None:
    """Polygon, icosahedron, and the Tammes problem for 10 points."""
    reached = max_cosine(methods.search_separated(num_classes, dim, 0))
    assert optimum - 1e-6 <= reached <= optimum + 2e-5


@pytest.mark.parametrize(("num_classes", "dim"), [(100, 50), (100, 84), (200, 100), (1000, 512), (6, 3), (10, 5)])
def test_separated_is_optimal_up_to_twice_the_dimension(num_classes: int, dim: int) -> None:
    assert abs(max_cosine(separated(num_classes, dim))) <= 1e-12


TARGETS = {
    (10, 3): 0.40441,
    (100, 3): 0.9335,
    (100, 5): 0.6853,
    (100, 10): 0.3335,
    (100, 16): 0.2054,
    (100, 25): 0.0911,
    (100, 32): 0.0768,
    (200, 25): 0.1824,
    (200, 50): 0.0758,
}


@pytest.mark.parametrize(("num_classes", "dim"), TARGETS)
def test_the_shipped_table_reaches_its_targets(num_classes: int, dim: int) -> None:
    points = separated(num_classes, dim)
    assert points is methods.shipped_table()[num_classes, dim]
    assert np.allclose(np.linalg.norm(points, axis=1), 1, atol=1e-12)
    found = certify(points)
    assert found.bound <= found.max_cosine <= TARGETS[num_classes, dim]


def test_a_known_code_is_found_and_kept() -> None:
    """In 22 dimensions the Higman-Sims code is optimal."""
    assert max_cosine(methods.search_separated(100, 22, 0)) == pytest.approx(1 / 11, abs=1e-9)


@pytest.mark.parametrize(("num_classes", "dim"), [(10, 64), (100, 64), (100, 128)])
@pytest.mark.parametrize("method", ["separated", "uniform", "simplex"])
def test_features_of_a_relu_reach_every_class(method: str, num_classes: int, dim: int) -> None:
    """Without a projection features are not negative: each class has such a feature that is nearest to it.

    Points along the axes would not.
    """
    if methods.unsupported(method, num_classes, dim):
        pytest.skip("does not exist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "UNIFORM_RESTARTS", 1)
        points = METHODS[method](num_classes, dim, 0)
    nearest = (np.maximum(points, 0) @ points.T).argmax(axis=1)
    assert np.array_equal(nearest, np.arange(num_classes))
    along_axes = codes.simplex(10, 64)
    assert (along_axes[-1] <= 0).all()


def test_placing_keeps_the_geometry_and_follows_the_seed() -> None:
    points = annealing.random_points(7, 4, 0)
    first, again, other = (methods.placed(points, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    for turned in (first, other):
        assert np.allclose(np.sort(np.linalg.svd(turned)[1]), np.sort(np.linalg.svd(points)[1]))
        assert certify(turned).max_cosine == pytest.approx(certify(points).max_cosine)


def test_two_sided_search_takes_no_antipodal_pairs() -> None:
    """Kerdock's bases in 16 dimensions have 144 lines: 140 classes may take them, 150 may not, though 288 points would
    do for one side.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "STAGE_ITERATIONS", 1)
        patch.setattr(methods, "RESTARTS", 2)
        assert max_abs_cosine(methods.search(140, 16, 0, two_sided=True)) == pytest.approx(1 / 4)
        assert max_abs_cosine(methods.search(150, 16, 0, two_sided=True)) < 0.9


@pytest.mark.parametrize(("num_classes", "dim"), [(6, 3), (10, 5)])
def test_uniform_reaches_the_orthoplex(num_classes: int, dim: int) -> None:
    """At C = 2d the minimiser is the orthoplex: U = log(((2d-2) e^-4 + e^-8) / (2d-1))."""
    expected = np.log(((2 * dim - 2) * np.exp(-4) + np.exp(-8)) / (2 * dim - 1))
    assert uniformity(uniform(num_classes, dim)) == pytest.approx(expected, abs=1e-8)


@settings(max_examples=15, deadline=None)
@given(
    num_classes=st.integers(2, 12),
    dim=st.integers(1, 12),
    seed=st.integers(0, 2),
    method=st.sampled_from(sorted(METHODS)),
)
def test_rows_are_unit_and_no_better_than_the_bound(num_classes: int, dim: int, seed: int, method: str) -> None:
    if methods.unsupported(method, num_classes, dim) is None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(methods, "RESTARTS", 2)
            patch.setattr(methods, "PROJECTED_STEPS", 50)
            points = make(method, num_classes, dim, seed)
            assert torch.equal(points, make(method, num_classes, dim, seed))
        assert points.shape == (num_classes, dim)
        assert points.dtype == torch.float64
        assert torch.allclose(points.norm(dim=1), torch.ones(num_classes, dtype=torch.float64), atol=1e-9)
        assert certify(points.numpy()).gap >= -1e-9
    else:
        with pytest.raises(UserError, match="need d >="):
            make(method, num_classes, dim, seed)


def test_the_cache_is_used_and_a_damaged_file_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "RESTARTS", 2)
    first = separated(7, 3)
    (file,) = cache.cache_folder().iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(annealing, "best_anneal", lambda *_, **__: pytest.fail("computed again"))
        assert np.array_equal(separated(7, 3), first)
    for damage in (b"", file.read_bytes()[:-20], file.read_bytes()[:-8] + b"\0" * 8):
        file.write_bytes(damage)
        assert np.array_equal(separated(7, 3), first)


def test_seeds_give_other_prototypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "RESTARTS", 2)
    for dim in (3, 4):
        assert not np.allclose(separated(7, dim, seed=0), separated(7, dim, seed=1))
    assert not np.allclose(separated(10, 3, seed=0), separated(10, 3, seed=1))


def test_files_of_every_type(tmp_path: Path) -> None:
    rows = 2 * annealing.random_points(5, 3, 0)
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "b.npz", anything=rows.astype(np.float32))
    torch.save(torch.from_numpy(rows), tmp_path / "c.pt")
    torch.save({"w": torch.from_numpy(rows.T)}, tmp_path / "d.pt")
    for name in ("a.npy", "b.npz", "c.pt", "d.pt"):
        assert np.allclose(make(str(tmp_path / name), 5, 3).numpy(), rows / 2, atol=1e-6), name
        assert methods.unsupported(str(tmp_path / name), 3, 5) == f"{name} has 5 prototypes in 3 dimensions, not 3 in 5"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (np.zeros((3, 2)), "prototype 0 is a row of zeros"),
        (np.full((3, 2), np.nan), "finite numbers"),
        (np.ones(4), "of shape \\(4,\\)"),
        (b"words", "not a .npy file"),
        (np.array([["a", "b"]]), "not a .npy file"),
        (np.ones((3, 2), dtype=complex), "numbers of type complex128"),
    ],
)
def test_a_useless_file_is_named(tmp_path: Path, content: np.ndarray | bytes, complaint: str) -> None:
    path = tmp_path / "own.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(UserError, match=complaint) as caught:
        make(str(path), 3, 2)
    assert str(path) in str(caught.value)


def test_files_that_are_not_what_their_names_say(tmp_path: Path) -> None:
    rows = annealing.random_points(3, 2, 0)
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "b.npz", rows)
    (tmp_path / "a.npy").rename(tmp_path / "c.npz")
    (tmp_path / "b.npz").rename(tmp_path / "d.npy")
    torch.save([1, 2], tmp_path / "e.pt")
    torch.save({"w": 3}, tmp_path / "f.pt")
    torch.save({"w": torch.ones(2, 3), "v": torch.ones(2, 3)}, tmp_path / "g.pt")
    for name in ("c.npz", "d.npy", "e.pt", "f.pt", "g.pt"):
        with pytest.raises(UserError, match=name):
            make(str(tmp_path / name), 3, 2)
    torch.save(torch.nn.Parameter(torch.from_numpy(rows)), tmp_path / "h.pt")
    assert np.allclose(make(str(tmp_path / "h.pt"), 3, 2).numpy(), rows)


def test_a_missing_file_and_an_unknown_method_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file"):
        make(str(tmp_path / "none.npy"), 3, 2)
    with pytest.raises(UserError, match="did you mean 'separated'"):
        make("seperated", 3, 2)


def test_points_that_another_machine_kept_meanwhile_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that all seeds of one cache folder have the same ones, though machines round differently."""
    monkeypatch.setattr(methods, "RESTARTS", 2)
    theirs, search = separated(7, 3), annealing.best_anneal
    (file,) = cache.cache_folder().iterdir()
    content = file.read_bytes()
    file.unlink()

    def late(*args: Any, **options: Any) -> Any:
        found = search(*args, **options)
        file.write_bytes(content)
        return -found

    monkeypatch.setattr(annealing, "best_anneal", late)
    assert np.array_equal(separated(7, 3), theirs)
    assert list(cache.cache_folder().iterdir()) == [file]
