"""What a stranger's folder or bundle may hold: nothing of it is believed without evidence, and none of it ends in a
traceback.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headbench.core.errors import DamagedError, UserError
from headbench.results import grid_rows, store
from headbench.results.tuning import searches
from headbench.runners.exchange import bundles, checking, merging, score_files
from tests.results import helpers

CELL = "etf-5-0-toy"
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A grid of two heads."""
    cells = [helpers.write_described(tmp_path / "runs", head, seed, 30) for head in ("psc", "etf") for seed in (0, 1)]
    helpers.write_grid(tmp_path / "runs", cells)
    return tmp_path / "runs"


def wrong(out: Path) -> list[str]:
    """What ``publish --check`` finds in a bundle of the grid."""
    file = out.parent / "bundle.zip"
    file.unlink(missing_ok=True)
    bundles.write(out, "toy-grid", file)
    return checking.check(file, None).wrong


def measured(out: Path, change: Change) -> None:
    """Change what a cell's last epoch is said to have."""
    folder = store.cell_folder(out, CELL)
    result = store.read_result(folder)
    assert result is not None
    change(result["selections"]["last"])
    helpers.rewrite(folder, {"selections": result["selections"]})


def planned(out: Path, **changes: Any) -> None:
    """Change what the plan says of a cell."""
    folder = store.grid_folder(out, "toy-grid")
    plan = store.read_plan(folder)
    for cell in plan["cells"]:
        if cell["cell_id"] == CELL:
            cell.update(changes)
    store.write_plan(folder, plan)


def of_the_cell(out: Path) -> dict[str, Any]:
    """The row of the cell's last epoch."""
    rows = grid_rows.load(out, "toy-grid")
    (row,) = rows[(rows["cell_id"] == CELL) & (rows["selection"] == "last")].to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_a_sound_bundle_is_sound(out: Path) -> None:
    assert wrong(out) == []


def test_a_metric_is_never_taken_from_a_plan(out: Path) -> None:
    before = of_the_cell(out)
    measured(out, lambda last: [last.pop(name) for name in ("nll", "macro_accuracy") if name in last])
    planned(out, nll=0.001, macro_accuracy=0.999, nc1="=1+1", calibration_view="raw")
    now = of_the_cell(out)
    assert pd.isna(now["nll"])
    assert pd.isna(now["macro_accuracy"])
    assert [str(now[name]) for name in ("nc1", "top1")] == [str(before[name]) for name in ("nc1", "top1")]


def test_a_head_is_called_by_its_own_name(out: Path) -> None:
    for name in ("PSC", "ETF + DR (released)"):
        planned(out, head_display=name)
        assert any("head_display" in line for line in wrong(out))


def test_what_has_no_evidence_is_named(out: Path) -> None:
    """Neural collapse without the class means, and a digest that the predictions do not have."""
    (store.cell_folder(out, CELL) / "geometry.npz").unlink()
    measured(out, lambda last: last.update(nc1=1e-9, predictions_digest="0" * 16))
    found = "\n".join(wrong(out))
    assert "last nc1: 1e-09 is told, without geometry.npz" in found
    assert "last: what is predicted has another digest" in found


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("predictions.npz", lambda arrays: arrays.pop("val_labels", None)),
        ("predictions.npz", lambda arrays: arrays.update(last_test_logits=np.zeros(40, int))),
        ("predictions.npz", lambda arrays: arrays.update(test_labels=np.zeros((40, 4)))),
        ("predictions.npz", lambda arrays: arrays.update(val_labels=np.zeros((40, 4)))),
        ("geometry.npz", lambda arrays: arrays.pop("within")),
        ("geometry.npz", lambda arrays: arrays.update(within=np.zeros(3))),
    ],
)
def test_odd_arrays_are_one_line(out: Path, file: str, change: Change) -> None:
    folder = store.cell_folder(out, CELL)
    arrays = store.read_arrays(folder, file)
    change(arrays)
    store.write_arrays(folder / file, arrays)
    measured(out, lambda last: last.setdefault("nc1", 1.0))
    found = wrong(out)
    assert any(file in line for line in found)
    assert all(CELL in line and "\n" not in line for line in found)


def test_no_file_of_the_harness_comes_with_a_cell(out: Path, tmp_path: Path) -> None:
    """A lock among a cell's files would be written over the target's own."""
    folder = store.cell_folder(out, CELL)
    (folder / "lock.json").write_text("{}")
    helpers.rewrite(folder, {})
    (folder / "lock.json").unlink()
    merged = merging.merge([out], tmp_path / "into")
    assert any("has no file 'lock.json'" in line for line in merged.conflicts)
    assert not (store.cell_folder(tmp_path / "into", CELL)).exists()


@pytest.mark.parametrize(
    "lines", [["z: &z [*z]"], ["x0: &x0 [a, b]", *(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]" for i in range(1, 40))]]
)
def test_aliases_that_unfold_without_end_are_refused(lines: list[str]) -> None:
    with pytest.raises(DamagedError, match="aliases"):
        store.read_yaml(Path("cell.yaml"), "\n".join(lines).encode())
    assert store.read_yaml(Path("cell.yaml"), b"a: &a {b: 1}\nc: [*a, *a]") == {"a": {"b": 1}, "c": [{"b": 1}] * 2}


def test_a_storage_that_a_folder_names_is_neither_made_nor_changed(tmp_path: Path) -> None:
    mine = tmp_path / "mine.db"
    with closing(sqlite3.connect(mine)) as database:
        database.execute("CREATE TABLE addresses (name TEXT)")
        database.commit()
    before = mine.read_bytes()
    for storage in (
        f"sqlite:///{mine}",
        f"sqlite+pysqlite:///{tmp_path}/new.db",
        str(tmp_path / "new.log"),
        f"sqlite:///{tmp_path}",
    ):
        assert not searches._is_there(storage)
    assert mine.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.db"]


def test_a_small_table_of_a_huge_one_is_not_unfolded(tmp_path: Path) -> None:
    rows = 4_000_000
    pd.DataFrame(
        {"label": np.zeros(rows, np.int8), **{f"logit_{c}": np.zeros(rows, np.float32) for c in range(10)}}
    ).to_parquet(tmp_path / "scores.parquet")
    with pytest.raises(UserError, match="4,000,000 rows of 11 columns are no scores"):
        score_files.read(tmp_path / "scores.parquet")


def test_counts_beyond_whole_numbers_are_refused(tmp_path: Path) -> None:
    counts = np.array([2**63, 1], np.uint64)
    np.savez(tmp_path / "scores.npz", logits=5 * np.eye(2), labels=np.arange(2), class_counts=counts)
    with pytest.raises(UserError, match="class_counts are 2 whole numbers"):
        score_files.read(tmp_path / "scores.npz")
