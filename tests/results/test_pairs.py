"""The table of paired differences from a small store made by hand."""

from pathlib import Path

import numpy as np
import pytest

import results
from results import pairs, statistics, store
from tests.results import helpers


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    """At d = 5 psc has 90 % with each seed, etf 90 and 95 % with seeds 0 and 1; at d = 2 there is nothing beside psc."""
    helpers.toy(tmp_path)
    table = pairs.table(results.load(tmp_path, "toy-grid"), tmp_path, "last", "by hand", "toy")
    assert table is not None
    (row,) = table.tidy.to_dict("records")
    assert (row["d"], row["head"], row["n"]) == (5, "etf", 2)
    expected = statistics.paired(np.array([0.0, 5.0]))
    assert [row["mean"], row["low"], row["high"]] == pytest.approx([2.5, expected.low, expected.high])
    # The signs of a difference of 0 do not matter, so all four patterns are as extreme.
    assert row["p"] == 1
    assert row["smallest_p"] == 0.5
    assert list(table.cells.iloc[0]) == ["+2.50 [-29.27, +34.27]", "2", "1.000 (0.500)", "-", "1.000"]
    assert "With 2 seeds no sign-flip test can reach p < 0.05." in table.caption


def test_a_single_seed_is_tested_over_the_images(tmp_path: Path) -> None:
    cells = [helpers.write_cell(tmp_path, helpers.facts(head, 5, 0), right) for head, right in (("psc", 20), ("etf", 36))]
    helpers.write_grid(tmp_path, cells)
    rows = results.load(tmp_path, "toy-grid")
    table = pairs.table(rows, tmp_path, "last", "by hand", "toy")
    assert table is not None
    right = []
    for cell in cells:
        stored = store.read_predictions(store.cell_folder(tmp_path, cell["cell_id"]))
        right.append(stored["last_test_logits"].argmax(axis=1) == stored["test_labels"])
    assert table.tidy["mcnemar"].tolist() == table.tidy["holm"].tolist() == [pytest.approx(statistics.mcnemar(right[0], right[1]))]
    assert list(table.cells.iloc[0])[:4] == ["+40.00", "1", "-", "< 0.001"]
    (store.cell_folder(tmp_path, cells[0]["cell_id"]) / "predictions.npz").unlink()
    again = pairs.table(rows, tmp_path, "last", "by hand", "toy")
    assert again is not None
    assert list(again.cells.iloc[0])[3:] == ["-", "-"]


def test_nothing_to_compare_is_no_table(tmp_path: Path) -> None:
    helpers.write_grid(tmp_path, [helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0), 20)])
    rows = results.load(tmp_path, "toy-grid")
    assert pairs.table(rows, tmp_path, "last", "alone", "toy") is None
    assert pairs.table(rows.iloc[:0], tmp_path, "last", "empty", "toy") is None
