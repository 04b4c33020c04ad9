"""Prototypes that are printed, drawn, and kept in a file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from headbench.heads.geometry import certificate, methods
from headbench.results.figures import sphere
from headbench.runners.commands.main import main
from headbench.runners.inspection import certificates


def test_a_saved_file_holds_prototypes_with_their_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new folder" / "points.npz"
    assert main(["prototypes", "10", "6", "--seed", "3", "--save", str(file)]) == 0
    assert f"written: {file}" in capsys.readouterr().out.replace("\n", "")
    with np.load(file) as kept:
        points = kept["prototypes"]
        assert points.shape == (10, 6)
        assert np.array_equal(points, methods.make("separated", 10, 6, seed=3).numpy())
        assert (str(kept["method"]), int(kept["seed"]), int(kept["num_classes"]), int(kept["dim"])) == (
            "separated",
            3,
            10,
            6,
        )
        cosines = points @ points.T - 2 * np.eye(10)
        assert float(kept["max_cosine"]) == pytest.approx(cosines.max())
        assert (float(kept["bound"]), str(kept["bound_name"])) == (0, "Rankin")
    # The file is one that heads take.
    assert np.allclose(methods.make(str(file), 10, 6).numpy(), points)


def test_a_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "points.npz"
    file.write_text("mine")
    assert main(["prototypes", "10", "6", "--save", str(file)]) == 2
    assert "exists, and is not overwritten" in capsys.readouterr().err
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--save", "points.npy"], "does not end in .npz"), (["--save", "x.npz", "--compare"], "of one method")],
)
def test_what_cannot_be_saved_is_said(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prototypes", "10", "6", *words]) == 2
    assert message in capsys.readouterr().err


def test_rows_are_printed_as_they_come_and_prototypes_that_coincide_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed, noted = list[str](), ""

    def make(method: str, num_classes: int, dim: int, seed: int) -> torch.Tensor:
        nonlocal noted
        out, error = capsys.readouterr()
        printed.append(out)
        noted += error
        angles = torch.tensor([0.0, 1.0, 3.0, 1.0 if method == "ebv" else 4.0], dtype=torch.float64)
        return torch.stack([angles.cos(), angles.sin()], dim=1)

    monkeypatch.setattr(methods, "make", make)
    assert main(["prototypes", "4", "2", "--compare"]) == 0
    last = capsys.readouterr()
    known = [line.split()[0] for text in [*printed, last.out] for line in text.splitlines()]
    assert [len(text.splitlines()) for text in printed] == [0, 2, *[1] * (len(printed) - 2)]
    assert known[: 1 + len(printed)] == ["method", *(m for m in certificates.METHODS if m in known)]
    assert "note: ebv: prototypes coincide (1 and 3), so that" in noted + last.err
    assert list(tmp_path.iterdir()) == []
    assert main(["prototypes", "4", "2", "--method", "random"]) == 0
    picture = Path("prototypes-4x2.png")
    assert list(Path().iterdir()) == [picture]
    drawn = picture.read_bytes()
    for again in ([], ["--png", str(picture)]):
        assert main(["prototypes", "4", "2", "--method", "ebv", *again]) == 2
        assert "exists, and is not overwritten; name another file" in capsys.readouterr().err
    assert picture.read_bytes() == drawn
    assert main(["prototypes", "4", "2", "--method", "random", "--png", str(picture / "new.png")]) == 2
    assert capsys.readouterr().err == f"bench.py: {picture}: File exists\n"


def test_prototypes_of_two_methods_are_kept_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture, which would be of one name, is in the way."""
    monkeypatch.chdir(tmp_path)
    for file, method in (("one.npz", "separated"), ("two.npz", "random")):
        assert main(["prototypes", "4", "2", "--method", method, "--save", file]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_the_nearest_pairs_are_those_of_the_cosine_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "ROWS", 4)
    points = methods.make("random", 9, 3, seed=1).numpy()
    cosines = points @ points.T
    expected = [(i, j) for i in range(9) for j in range(i + 1, 9) if cosines[i, j] >= 0.3]
    assert 2 < len(expected) < 30
    assert certificate.nearest_pairs(points, 0.3) == expected


@pytest.mark.parametrize("dim", [2, 3])
def test_points_have_their_numbers_and_nearest_pairs_are_joined_and_named(dim: int) -> None:
    points = np.eye(4, dim) + 0.1
    points[3] = points[0]
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    pairs = [(0, 3), *((i, i + 1) for i in range(3)), (1, 3)]
    (axis,) = sphere.prototypes({"by hand": (points, pairs)}).axes
    assert axis.get_title() == "by hand\nnearest: 0-3, 0-1, 1-2, 2-3 and 1 more"
    assert [text.get_text() for text in axis.texts] == ["0,3", "1", "2"]
    joined = [np.stack(line.get_data_3d() if dim == 3 else line.get_data()).T for line in axis.lines]  # type: ignore[attr-defined]
    for pair in pairs:
        assert any(line.shape == (2, dim) and np.allclose(line, points[list(pair)]) for line in joined)


def test_every_number_of_a_certificate_stands_under_its_title() -> None:
    """Of three points on a circle the nearest have a cosine of 0.6, two are opposite; three can have -0.5 at least."""
    points = np.array([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])
    uniformity = np.log(np.mean([np.exp(-2 * (2 - 2 * cosine)) for cosine in (0.6, -1.0, -0.6)]))
    printed = certificates.row("by hand", certificate.certify(points))
    told = dict(zip(certificates.TITLES, printed, strict=True))
    expected = {"max cos": 0.6, "mean max cos": 0.2, "max |cos|": 1.0, "U": uniformity, "above bound": 1.1}
    assert told == {"method": "by hand"} | {title: f"{value:.5f}" for title, value in expected.items()}
