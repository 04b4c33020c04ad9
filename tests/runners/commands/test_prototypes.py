"""Prototypes that are kept in a file."""

from pathlib import Path

import numpy as np
import pytest

from headbench.heads.geometry import methods
from headbench.runners.commands.main import main


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
