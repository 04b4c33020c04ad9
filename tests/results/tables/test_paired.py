"""The table of paired differences from a small store made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from headbench import results
from headbench.results import store
from headbench.results.answers import Answers
from headbench.results.numbers import inference, statistics
from headbench.results.tables import paired
from headbench.results.tables.base import Table
from tests.results import helpers, known


def table(out: Path, **changes: Any) -> Table:
    """The pairs of the grid, after a change of columns."""
    made = paired.table(results.load(out, "toy-grid").assign(**changes), Answers(out), "last", "by hand", "toy")
    assert made is not None
    return made


def right(out: Path, cell: dict[str, object]) -> np.ndarray:
    """Which images a cell gets right, by its stored scores."""
    stored = store.read_predictions(store.cell_folder(out, str(cell["cell_id"])))
    answers: np.ndarray = stored["last_test_logits"].argmax(axis=1) == stored["test_labels"]
    return answers


def write(out: Path, rights: dict[str, list[int]]) -> list[dict[str, object]]:
    """Write a grid at d = 5 with so many of 40 images right with each seed."""
    cells = [
        helpers.write_cell(out, helpers.facts(head, 5, seed), count)
        for head, counts in rights.items()
        for seed, count in enumerate(counts)
    ]
    helpers.write_grid(out, cells)
    return cells


def test_three_seeds_have_interval_p_and_verdict(tmp_path: Path) -> None:
    cells = write(tmp_path, {"psc": [20, 21, 20], "etf": [36, 38, 37], "hpn": [21, 20, 21]})
    made = table(tmp_path)
    answers = np.stack([right(tmp_path, cell) for cell in cells]).reshape(3, 3, 40)
    expected = [inference.compare(answers[place], answers[0]) for place in (1, 2)]
    assert made.tidy[["mean", "low", "high"]].to_numpy() == pytest.approx(
        np.array([[100 * x for x in (e.mean, e.low, e.high)] for e in expected])
    )
    assert made.tidy["holm"].to_numpy() == pytest.approx(
        statistics.holm(np.array([e.p() for e in inference.together(expected)]))
    )
    assert made.tidy[["head", "minus", "selection"]].to_numpy().tolist() == [
        [head, "psc", "last"] for head in ("etf", "hpn")
    ]
    assert made.tidy["verdict"][0] == "better"
    assert made.tidy["verdict"][1].startswith("unresolved; ")
    assert made.cells.columns.tolist() == ["minus psc [95 % interval]", "seeds", "p (Holm)", "verdict"]
    assert made.cells.iloc[0, 2] == "< 0.001"


def test_two_seeds_have_an_interval_and_no_verdict(tmp_path: Path) -> None:
    """At d = 5 psc has 90 % with each seed, etf 90 and 95 % with seeds 0 and 1.

    At d = 2 there is nothing beside psc.
    """
    helpers.toy(tmp_path)
    made = table(tmp_path)
    (row,) = made.tidy.to_dict("records")
    assert (row["d"], row["head"], row["n"], row["verdict"]) == (5, "etf", 2, "no verdict from 2 seeds")
    assert row["mean"] == pytest.approx(2.5)
    assert row["low"] < 0 < row["high"]
    assert "p (Holm)" not in made.cells


def test_one_seed_is_about_two_networks(tmp_path: Path) -> None:
    cells = write(tmp_path, {"psc": [20], "etf": [36], "hpn": [21]})
    made = table(tmp_path)
    expected = [statistics.mcnemar(right(tmp_path, cell), right(tmp_path, cells[0])) for cell in cells[1:]]
    assert made.tidy["p"].tolist() == pytest.approx(expected)
    assert made.tidy["verdict"].tolist() == ["these two networks differ", "these two networks do not differ measurably"]
    assert made.cells.iloc[0].tolist() == ["+40.00", "1", "< 0.001", "these two networks differ"]
    assert "says nothing of their heads" in made.caption


def test_tests_of_two_networks_and_copies_of_a_head_make_no_other_test_stricter() -> None:
    """Of one seed at d = 25, of three at d = 10, where a and its copy have the same answers."""
    base, a = known.random(0.5, 1), known.random(0.55, 2)
    heads = {("psc", 10): base, ("a", 10): a, ("copy", 10): a, ("psc", 25): base[:1], ("a", 25): a[:1]}
    rows, answers = known.answered(heads)
    made = paired.table(rows, answers, "last", "by hand", "toy")
    assert made is not None
    of = {(row["d"], row["head"]): row for row in made.tidy.to_dict("records")}
    assert of[10, "a"]["holm"] == of[10, "copy"]["holm"] == of[10, "a"]["p"]
    assert of[25, "a"]["holm"] == of[25, "a"]["p"]
    assert "over the 2 rows of 3 seeds or more, the same answers counted once. " in made.caption
    assert "One seed: McNemar's exact test over the test images, corrected over such rows alone, " in made.caption


def test_an_unsound_copy_of_a_head_takes_its_test_from_nobody() -> None:
    base, a = known.random(0.5, 1), known.random(0.55, 2)
    rows, answers = known.answered({("psc", 10): base, ("copy", 10): a, ("a", 10): a})
    rows.loc[rows["head_label"] == "copy", "health"] = "diverged"
    made = paired.table(rows, answers, "last", "by hand", "toy")
    assert made is not None
    of = {row["head"]: row for row in made.tidy.to_dict("records")}
    assert of["a"]["holm"] == of["a"]["p"]
    assert np.isnan([of["copy"]["p"], of["copy"]["holm"]]).all()


def test_equal_predictions_are_named(tmp_path: Path) -> None:
    """The same answers with every seed: no interval of width zero, no p, no verdict on the heads."""
    write(tmp_path, {"psc": [20, 21, 30], "etf": [20, 21, 30], "hpn": [39, 39, 40]})
    made = table(tmp_path)
    assert made.cells.iloc[0].tolist() == ["identical predictions", "3", "-", "identical predictions"]
    assert made.tidy["low"][0] < 0 < made.tidy["high"][0]
    assert "Identical predictions: psc and etf at d = 5." in made.caption


def test_an_unhealthy_cell_says_nothing_of_its_head(tmp_path: Path) -> None:
    write(tmp_path, {"psc": [20, 21, 20], "etf": [36, 38, 37]})
    rows = results.load(tmp_path, "toy-grid")
    marked = pd.Series(
        [
            "diverged" if (head, seed) == ("etf", 1) else "ok"
            for head, seed in zip(rows["head_label"], rows["seed"], strict=True)
        ]
    )
    made = table(tmp_path, health=marked)
    assert made.tidy["verdict"].tolist() == ["no verdict on the heads (etf, seed 1: diverged)"]
    assert "p (Holm)" not in made.cells


def test_results_of_an_earlier_harness_are_compared_by_their_scores(tmp_path: Path) -> None:
    cells = write(tmp_path, {"psc": [20, 21, 20], "etf": [36, 38, 37]})
    expected = table(tmp_path).tidy
    for cell in cells:
        folder = store.cell_folder(tmp_path, str(cell["cell_id"]))
        result = store.read_result(folder)
        assert result is not None
        for measured in result["selections"].values():
            del measured["correct"], measured["predictions_digest"]
        result = {key: value for key, value in result.items() if key not in {"schema", "sha256"}}
        store.write_result(folder, result, ["predictions.npz", "history.csv", "geometry.npz"])
    pd.testing.assert_frame_equal(table(tmp_path).tidy, expected)
    (store.cell_folder(tmp_path, str(cells[0]["cell_id"])) / "predictions.npz").unlink()
    assert paired.table(results.load(tmp_path, "toy-grid"), Answers(tmp_path), "last", "by hand", "toy") is None


def test_other_test_images_are_not_compared(tmp_path: Path) -> None:
    write(tmp_path, {"psc": [20, 21, 20], "etf": [36, 38, 37]})
    rows = results.load(tmp_path, "toy-grid")
    other = rows.assign(data_fingerprint=rows["head_label"])
    assert paired.table(other, Answers(tmp_path), "last", "by hand", "toy") is None


def test_nothing_to_compare_is_no_table(tmp_path: Path) -> None:
    write(tmp_path, {"psc": [20]})
    rows = results.load(tmp_path, "toy-grid")
    assert paired.table(rows, Answers(tmp_path), "last", "alone", "toy") is None
    assert paired.table(rows.iloc[:0], Answers(tmp_path), "last", "empty", "toy") is None
