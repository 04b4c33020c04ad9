"""Prototypes and word vectors of somebody else: right points, or one line that names the file."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headbench.core.errors import UserError
from headbench.heads.geometry import cache, files, methods
from headbench.heads.geometry.word_vectors import class_vectors


def header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


@pytest.mark.parametrize("scale", [1e200, 1e308, 1e-200, 5e-324, 1.0])
def test_rows_of_any_length_become_unit_rows(scale: float, tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([[scale, scale], [1, 0], [0, -scale]]))
    points = files.read(tmp_path / "p.npy")
    assert points == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [1, 0], [0, -1]]), abs=1e-15)


def test_usual_rows_keep_every_bit(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((20, 7))
    np.save(tmp_path / "p.npy", rows)
    assert np.array_equal(files.read(tmp_path / "p.npy"), rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_a_mapping_named_as_ours_is_read_as_all_ours(tmp_path: Path) -> None:
    """By class, where the authors' mapping of another name is by dimension."""
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    for name, saved in (("ours", {"prototypes": rows}), ("plain", rows), ("theirs", {"w": rows.T})):
        torch.save(saved, tmp_path / f"{name}.pt")
        assert files.read(tmp_path / f"{name}.pt") == pytest.approx(rows.numpy(), abs=1e-7)


USELESS: dict[str, Any] = {
    "complex": np.array([[1 + 1j, 1], [1, 0]]),
    "complex with nothing imaginary": np.eye(2, dtype=complex),
    "flags": np.eye(2, dtype=bool),
    "no rows": np.zeros((0, 2)),
    "no columns": np.zeros((2, 0)),
    "a number": np.array(1.0),
    "three dimensions": np.ones((2, 2, 2)),
    "infinite": np.array([[np.inf, 1], [1, 0]]),
    "a row of zeros": np.array([[0.0, 0], [1, 0]]),
}


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
@pytest.mark.parametrize("points", USELESS.values(), ids=USELESS)
def test_numbers_that_are_no_points_are_refused(points: np.ndarray, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"p{suffix}"
    if suffix == ".pt":
        torch.save(torch.from_numpy(points), path)
    else:
        np.save(path, points) if suffix == ".npy" else np.savez(path, points=points)
    with pytest.raises(UserError, match=str(path)) as caught:
        methods.make(str(path), 2, 2)
    assert "\n" not in str(caught.value)


def test_a_header_that_claims_a_giant_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "p.npy").write_bytes(header((10**12, 10)))
    assert (
        methods.unsupported(str(tmp_path / "p.npy"), 10, 3)
        == f"p.npy has {10**12} prototypes in 10 dimensions, not 10 in 3"
    )
    with pytest.raises(UserError, match=r"p\.npy: .*claims 80,000,000,000,000 bytes"):
        files.read(tmp_path / "p.npy")
    torch.save(torch.ones(1).expand(10**6, 10**6), tmp_path / "p.pt")
    with pytest.raises(UserError, match=r"p\.pt: "):
        files.read(tmp_path / "p.pt")


@pytest.mark.parametrize("name", ["p.npz", "p.pt"])
def test_an_archive_that_unfolds_is_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        member.write(header((400 * 2**17,)))
        for _ in range(400):
            member.write(bytes(2**20))
    with pytest.raises(UserError, match="unfold to"):
        files.read(tmp_path / name)


@pytest.mark.parametrize("change", [lambda points: points[::-1], lambda points: -points, lambda points: points + 0j])
def test_other_unit_rows_in_the_cache_are_noticed(change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(methods, "PROJECTED_STEPS", 50)
    first = methods.projected_gradient(6, 3, 0)
    (file,) = cache.cache_folder().iterdir()
    np.save(file, change(np.load(file)))
    assert np.array_equal(methods.projected_gradient(6, 3, 0), first)
    assert np.array_equal(np.load(file), first)


@pytest.mark.parametrize(
    "arrays",
    [
        {"names": np.array(["cat"]), "vectors": np.ones((1, 2), complex)},
        {"names": np.array([1]), "vectors": np.ones((1, 2))},
        {"names": np.array([["cat"]]), "vectors": np.ones((1, 2))},
        {"names": np.array(["cat"]), "vectors": np.ones(1)},
        {"names": np.array("cat"), "vectors": np.ones((1, 2))},
        {"names": np.array(["cat"])},
        {"names": np.array(["cat"]), "vectors": np.full((1, 2), 1e200)},
    ],
)
def test_word_vectors_that_are_none_are_one_line(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"v\.npz") as caught:
        class_vectors(("cat",), str(tmp_path / "v.npz"))
    assert "\n" not in str(caught.value)


def test_word_vectors_that_claim_a_giant_are_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", names=np.array(["cat"]))
    with zipfile.ZipFile(tmp_path / "v.npz", "a") as archive:
        archive.writestr("vectors.npy", header((10**12, 10)))
    with pytest.raises(UserError, match=r"v\.npz: not an \.npz file with the keys names and vectors"):
        class_vectors(("cat",), str(tmp_path / "v.npz"))
