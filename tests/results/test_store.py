"""The store writes atomically, and reads what it wrote."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from results import store


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file.txt"
    store.write_text(path, "old")

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write_text(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def test_results_come_back_and_nan_is_null(tmp_path: Path) -> None:
    assert store.read_result(tmp_path) is None
    store.write_result(tmp_path, {"a": [1.5, float("nan")], "b": {"c": float("inf")}, "d": "x"}, [])
    assert store.read_result(tmp_path) == {"schema": store.SCHEMA, "a": [1.5, None], "b": {"c": None}, "d": "x", "sha256": {}}
    assert "NaN" not in (tmp_path / "result.json").read_text()
    assert json.loads((tmp_path / "result.json").read_text())["schema"] == 2


def test_arrays_come_back(tmp_path: Path) -> None:
    store.write_arrays(tmp_path / "x.npz", {"a": np.arange(6).reshape(2, 3)})
    with np.load(tmp_path / "x.npz") as stored:
        assert stored.files == ["a"]
        assert stored["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_result_of_the_first_schema_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It had no class names and no count of bins, which were 15."""
    monkeypatch.setattr(store, "SCHEMA", 1)
    store.write_result(tmp_path, {"facts": {"num_classes": 2}, "selections": {"last": {"top1": 0.5}}}, [])
    monkeypatch.undo()
    found = store.read_result(tmp_path)
    assert found is not None
    assert found["class_names"] == ["0", "1"]
    assert found["selections"] == {"last": {"top1": 0.5, "calibration_bins": 15}}
