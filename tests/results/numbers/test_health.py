"""Health in the rows of a grid: which cells say something about their head."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from headbench.results import grid_rows, report, store
from headbench.results.numbers import health
from headbench.results.tables import trust
from tests.results import helpers


def test_marked_cells_are_not_sound_and_old_ones_of_unknown_health_are(tmp_path: Path) -> None:
    cells = [
        helpers.write_cell(tmp_path, helpers.facts("psc", 2, seed), 20, marks)
        for seed, marks in enumerate(((), ("diverged", "fell back"), ()))
    ]
    old = store.cell_folder(tmp_path, cells[2]["cell_id"])
    result = json.loads((old / "result.json").read_text())
    store.write_result(
        old, {key: value for key, value in result.items() if key not in {"health", "checksum", "sha256"}}, []
    )
    cells.append({"cell_id": "x", "not_applicable": "too small"} | helpers.facts("psc", 2, 3))
    helpers.write_grid(tmp_path, cells)
    rows = grid_rows.load(tmp_path, "toy-grid")
    last = rows[(rows["selection"] == "last") | (rows["status"] != "done")]
    assert last["health"].fillna("").tolist() == ["ok", "diverged; fell back", "", ""]
    assert health.sound(last).tolist() == [True, False, True, True]
    assert health.sound(rows).dtype == bool


def row(
    epoch: int, first: float, worst: float, loss: float, chance: float, val: float = math.nan, stage: str = "train"
) -> dict[str, Any]:
    """A row of ``history.csv``."""
    numbers = {
        "first_loss": first,
        "worst_loss": worst,
        "train_loss": loss,
        "chance_loss": chance,
        "gradient_spike": 20.0,
    }
    return {"epoch": epoch, "stage": stage, "val_top1": val} | numbers


GUESSED = {"chance_loss": 2.0, "train_top1": 0.1}
PRIOR = {"trained_loss": 1.39, "chance_loss": 1.4, "train_top1": 0.4, "largest_class": 0.4}
LEARNED = {"trained_loss": 0.5, "chance_loss": 2.3, "train_top1": 0.85, "largest_class": 0.1, "dead_features": 0.0}
CASES: dict[str, tuple[list[dict[str, Any]], dict[str, float], list[str]]] = {
    "healthy": ([row(1, 2.4, 2.1, 1.2, 2.3, 0.7), row(2, 0.9, 0.9, 0.5, 2.3, 0.8)], {}, []),
    # Measured: psc on Fashion-MNIST, two epochs of recipe fast, widths 16-32-64.
    "diverged in its first epoch": (
        [row(1, 2.57, 14.5, 3.55, 2.3, 0.18), row(2, 2.2, 2.2, 2.2, 2.3, 0.25)],
        {"trained_loss": 1.9, "train_top1": 0.25},
        ["diverged"],
    ),
    "diverged within an epoch and came back": (
        [row(1, 2.44, 3.81, 1.15, 2.3, 0.76), row(2, 0.57, 0.6, 0.47, 2.3, 0.85)],
        {},
        ["diverged"],
    ),
    # Measured: arcface on the digits at d = 2, whose loss starts far above its chance level and stays high.
    "a loss that stays high": (
        [row(1, 41.6, 20.2, 14.0, 16.6), row(2, 7.4, 6.9, 5.5, 16.6)],
        {"trained_loss": 5.4, "chance_loss": 5.9},
        [],
    ),
    "a loss below zero": (
        [row(1, -0.02, -0.1, -0.5, 0.0), row(2, -0.6, -0.6, -0.8, 0.0)],
        {"trained_loss": -0.8, "chance_loss": 0.0},
        [],
    ),
    "at chance": ([row(1, 2.4, 2.35, 2.31, 2.3)], {"trained_loss": 2.3, "train_top1": 0.12}, ["not learned"]),
    "only the largest class of a long tail": (
        [row(1, 2.4, 2.3, 1.4, 2.3)],
        {"trained_loss": 1.39, "chance_loss": 1.4, "train_top1": 0.4, "largest_class": 0.4},
        ["not learned"],
    ),
    "a constant loss, and a fit after training": (
        [row(1, 1.0, 1.0, 1.0, 1.0)],
        {"trained_loss": 1.0, "chance_loss": 1.0},
        [],
    ),
    "a constant loss": (
        [row(1, 0.0, 0.0, 0.0, 0.0)],
        {"trained_loss": 0.0, "chance_loss": 0.0, "train_top1": 0.1},
        ["not learned"],
    ),
    "a hard task": (
        [row(1, 4.7, 4.6, 4.4, 4.6)],
        {"trained_loss": 4.3, "chance_loss": 4.6, "train_top1": 0.04, "largest_class": 0.01},
        [],
    ),
    "fell back": ([row(1, 2.4, 2.2, 1.0, 2.3, 0.9), row(2, 1.0, 2.2, 1.9, 2.3, 0.4)], {}, ["fell back"]),
    "better on smaller images": (
        [row(1, 2.4, 2.2, 1.0, 2.3, 0.9) | {"side": 20}, row(2, 1.0, 2.2, 1.9, 2.3, 0.4)],
        {},
        [],
    ),
    "fitted too long": ([row(1, 2.4, 2.2, 1.0, 2.3, 0.6), row(2, 0.5, 0.5, 0.1, 2.3, 0.55)], {}, []),
    "dead": ([row(1, 2.4, 2.2, 1.0, 2.3)], {"dead_features": 0.8}, ["dead features"]),
    "another loss in each stage": (
        [row(1, 6.0, 5.0, 4.0, 6.0, stage="a"), row(2, 20.0, 12.0, 8.0, 20.0, stage="b")],
        {},
        [],
    ),
    # Two views of 128 images that are all the same have ln 255; a classifier of such features learns something still.
    "a contrast that learned nothing": (
        [row(1, 5.54, 5.54, 5.53, 5.54, stage="contrast"), row(2, 2.4, 2.3, 2.0, 2.3, 0.3, "classifier")],
        {"trained_loss": 1.9, "train_top1": 0.35},
        ["not learned"],
    ),
    "a contrast that learned": (
        [
            row(1, 5.54, 5.54, 5.53, 5.54, stage="contrast"),
            row(2, 5.5, 5.5, 5.2, 5.54, stage="contrast"),
            row(3, 2.4, 2.3, 2.0, 2.3, 0.3, "classifier"),
        ],
        {"trained_loss": 1.9, "train_top1": 0.35},
        [],
    ),
    # Each threshold from both sides: 2 % of the loss, 5 % of the way from the largest class to 1, 25 % of excess, two
    # thirds of what was above chance, and half of the nine features that ten classes need.
    "a gain just below the least": ([], GUESSED | {"trained_loss": 1.962}, ["not learned"]),
    "a gain just above the least": ([], GUESSED | {"trained_loss": 1.958}, []),
    "an accuracy just below the least": ([], PRIOR | {"train_top1": 0.429}, ["not learned"]),
    "an accuracy just above the least": ([], PRIOR | {"train_top1": 0.431}, []),
    "an excess just below the most": ([row(1, 2.0, 2.48, 1.2, 2.0)], {}, []),
    "an excess just above the most": ([row(1, 2.0, 2.52, 1.2, 2.0)], {}, ["diverged"]),
    # It fell by 5.01, of which 24 and 26 % are 1.2024 and 1.3026.
    "an excess just below the most of a long way": ([row(1, 0.01, 1.2124, -5.0, 0.01)], {}, []),
    "an excess just above the most of a long way": ([row(1, 0.01, 1.3126, -5.0, 0.01)], {}, ["diverged"]),
    "kept just too little": (
        [row(1, 2.4, 2.2, 1.0, 2.3, 0.9), row(2, 1.0, 1.0, 0.9, 2.3, 0.1 + 0.66 * 0.8)],
        {},
        ["fell back"],
    ),
    "kept just enough": ([row(1, 2.4, 2.2, 1.0, 2.3, 0.9), row(2, 1.0, 1.0, 0.9, 2.3, 0.1 + 0.67 * 0.8)], {}, []),
    "four features of nine": ([], {"dead_features": 12 / 16}, ["dead features"]),
    "five features of nine": ([], {"dead_features": 11 / 16}, []),
    "nothing known": (
        [{"epoch": 1, "stage": "train", "train_loss": 1.0}],
        {"trained_loss": math.nan, "chance_loss": math.nan},
        [],
    ),
}


@pytest.mark.parametrize(("history", "measured", "marks"), CASES.values(), ids=CASES)
def test_marks(history: list[dict[str, Any]], measured: dict[str, float], marks: list[str]) -> None:
    assert health.assess(history, LEARNED | measured, num_classes=10, feature_dim=16)["marks"] == marks


@pytest.mark.parametrize(("last", "marks"), [(0.5 + 0.66 * 0.4, ["fell back"]), (0.5 + 0.67 * 0.4, [])])
def test_of_two_classes_half_is_chance(last: float, marks: list[str]) -> None:
    history = [row(1, 2.4, 2.2, 1.0, 2.3, 0.9), row(2, 1.0, 1.0, 0.9, 2.3, last)]
    assert health.assess(history, LEARNED, num_classes=2, feature_dim=16)["marks"] == marks


@pytest.mark.parametrize("factor", [0.01, 100])
def test_marks_do_not_depend_on_the_size_of_the_loss(factor: float) -> None:
    losses = {"first_loss", "worst_loss", "train_loss", "chance_loss", "trained_loss"}
    for history, measured, marks in CASES.values():
        scaled = [{key: factor * value if key in losses else value for key, value in line.items()} for line in history]
        numbers = {key: factor * value if key in losses else value for key, value in (LEARNED | measured).items()}
        assert health.assess(scaled, numbers, num_classes=10, feature_dim=16)["marks"] == marks


def test_few_of_many_features_suffice_for_few_classes() -> None:
    """Ten classes need nine of 512 features.

    A head whose prototypes lie in nine of them leaves the others without use.
    """
    history = [row(1, 2.4, 2.2, 1.0, 2.3)]
    assert health.assess(history, LEARNED | {"dead_features": 503 / 512}, 10, 512)["marks"] == []
    assert health.assess(history, LEARNED | {"dead_features": 509 / 512}, 10, 512)["marks"] == ["dead features"]
    assert health.assess(history, LEARNED | {"dead_features": 0.5}, 10, 2)["marks"] == []
    assert health.assess(history, LEARNED | {"dead_features": 1.0}, 2, 1)["marks"] == ["dead features"]


@pytest.mark.usefixtures("no_pictures")
def test_the_page_names_marked_cells_and_the_tables_sign_them(tmp_path: Path) -> None:
    cells = [
        helpers.write_cell(tmp_path, helpers.facts("psc", 2, seed), 20, marks)
        for seed, marks in enumerate(((), ("diverged",)))
    ]
    cells += [helpers.write_cell(tmp_path, helpers.facts("hpn", 2, seed), 30) for seed in range(2)]
    helpers.write_grid(tmp_path, cells)
    built = report.build(tmp_path, "toy-grid")
    page = built.page.read_text()
    assert (
        "1 of 4 done cells are marked and give no verdict on their heads: psc d = 2 seed 1 on toy (diverged)." in page
    )
    (classes,) = [table for table in built.tables if table.name == "toy-classes"]
    assert classes.cells.columns.tolist() == ["psc, d = 2 †", "hpn, d = 2"]
    assert "did not learn properly" in classes.caption
    for name in ("toy-accuracy-last", "toy-calibration-last", "toy-collapse"):
        (table,) = [table for table in built.tables if table.name == name]
        signed = table.cells.map(lambda text: "†" in text).any(axis=1)
        assert signed.groupby(level="head").any().to_dict() == {"psc": True, "hpn": False}
        assert "did not learn properly" in table.caption


@pytest.mark.usefixtures("no_pictures")
def test_the_page_says_what_is_absent_mixed_or_unknown(tmp_path: Path) -> None:
    cells = [helpers.write_cell(tmp_path, helpers.facts("psc", 2, seed), 20) for seed in range(3)]
    helpers.write_grid(tmp_path, cells)
    assert trust.lines(grid_rows.load(tmp_path, "toy-grid")) == ["No cell that is done is marked as unsound."]
    changes: list[dict[str, Any]] = [
        {"absent": {"best_test": "nothing to collect"}},
        {"provenance": helpers.PROVENANCE | {"precision": "bf16"}},
        {"health": None},
    ]
    for cell, change in zip(cells, changes, strict=True):
        folder = store.cell_folder(tmp_path, cell["cell_id"])
        result = json.loads((folder / "result.json").read_text())
        store.write_result(
            folder, {key: value for key, value in result.items() if key not in {"checksum", "sha256"}} | change, []
        )
    rows = grid_rows.load(tmp_path, "toy-grid")
    assert trust.lines(rows) == [
        "No cell that is done is marked as unsound.",
        "The health of 1 of 3 done cells is unknown: they were trained before it was recorded.",
        "Selections that are absent: psc d = 2 seed 0 on toy (no row 'best_test': nothing to collect).",
        "toy: cells of precision bf16 and fp32 are mixed in one comparison, a difference that no seed shows.",
    ]
    imported = rows.assign(imported=rows["imported"].where(rows["precision"] == "fp32", "scores.npz"))
    assert not any("precision" in line for line in trust.lines(imported))
    assert trust.lines(rows, {"recipe fast": rows})[-1].startswith("recipe fast: cells of precision bf16 and fp32 are")
    assert (rows["status"] == "done").all()


def test_the_best_epoch_is_that_on_validation() -> None:
    history = [
        row(1, 2.4, 2.1, 1.2, 2.3, 0.9) | {"test_top1": 0.3},
        row(2, 0.9, 0.9, 0.5, 2.3, 0.8) | {"test_top1": 0.9},
    ]
    found = health.assess(history, LEARNED, 10, 9)
    assert (found["best_epoch"], found["kept"]) == (1, pytest.approx(0.7 / 0.8))
