"""A grid from Python."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headbench
from headbench.core.errors import UserError
from tests.runners.helpers import grid

SETTINGS: dict[str, Any] = {"threads": 1, "device": "cpu", "precision": "auto"}


def of_torch() -> list[Any]:
    return [torch.get_num_threads(), torch.get_deterministic_debug_mode(), torch.get_rng_state().tolist()]


def test_a_grid_is_trained_once_and_comes_back_as_a_frame_and_torch_is_left_as_it_was(tmp_path: Path) -> None:
    before, out = of_torch(), tmp_path / "runs"
    asked: dict[str, Any] = SETTINGS | {"out": out, "data": tmp_path, "where": {"seed": [1]}}
    asked |= {"recipe.epochs": 1, "axes.seed": np.arange(2), "val_fraction": 0.2}
    rows = headbench.run(grid(), **asked)
    assert set(rows["selection"]) == {"last", "best_val", "best_test"}
    assert (rows["epochs"].iloc[0], rows["protocol"].iloc[0], set(rows["seed"])) == (1, "holdout-0.2", {1})
    name = rows["grid"].iloc[0]
    assert name.startswith("tiny+")
    files = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")}
    assert headbench.run(grid(), **asked).equals(rows)
    assert {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")} == files
    assert headbench.load(str(out), name).equals(rows)
    assert of_torch() == before


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"wokers": 2}, "run: unknown argument 'wokers'; did you mean 'workers'"),
        ({"recipe.epoch": 2}, "unknown key 'epoch'; did you mean 'epochs'"),
        ({"device": "gpu"}, "run: device: unknown 'gpu'; .*known: auto, cpu, cuda"),
        ({"workers": 0}, "run: workers: 0 is not at least 1"),
        ({"axes.head": ["etff"]}, "unknown head 'etff'; did you mean 'etf'"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        headbench.run(grid(), out=tmp_path, data=tmp_path, **asked)
    assert not list(tmp_path.iterdir())
