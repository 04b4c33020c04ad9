"""Accuracy against compute: every point is a mean of the rows, and the front is what nothing cheaper reaches."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headbench import results
from headbench.results import report
from headbench.results.figures import compute
from headbench.results.tables.names import Names
from tests.results import helpers

COSTS = {"short": 2e15, "long": 6e15}


def rows(tmp_path: Path) -> pd.DataFrame:
    cells = [
        helpers.write_cell(tmp_path, helpers.facts(head, 5, seed, recipe=recipe), 20 + place + seed)
        for place, (head, recipe) in enumerate((head, recipe) for head in ("psc", "hpn") for recipe in COSTS)
        for seed in (0, 1)
    ]
    helpers.write_grid(tmp_path, cells)
    frame = results.load(tmp_path, "toy-grid")
    return frame.assign(train_flops=frame["recipe"].map(COSTS))


def test_points_are_the_means_of_the_rows(tmp_path: Path) -> None:
    frame = rows(tmp_path)
    frame["train_seconds"] = frame["recipe"].map({"short": 30.0, "long": 90.0})
    drawn = compute.compute(frame, "by hand")
    for axis, costs in zip(drawn.figure.axes, ([2, 6], [30, 90]), strict=True):
        lines = {str(line.get_label()): line for line in axis.lines}
        for head in ("psc", "hpn"):
            own = frame[(frame["selection"] == "last") & (frame["head_label"] == head)]
            expected = [100 * own[own["recipe"] == recipe]["top1"].mean() for recipe in COSTS]
            assert np.asarray(lines[head].get_xdata()) == pytest.approx(costs)
            assert np.asarray(lines[head].get_ydata()) == pytest.approx(expected)
    assert "Seconds are those of cpu, threads: 2" in drawn.caption


def test_seconds_of_two_machines_are_not_compared(tmp_path: Path) -> None:
    frame = rows(tmp_path)
    frame.loc[frame["seed"] == 1, "device"] = "cuda"
    drawn = compute.compute(frame, "by hand")
    assert len(drawn.figure.axes) == 1
    assert "No figure against seconds: the cells were trained on different machines." in drawn.caption


def test_a_report_draws_it_where_trainings_differ_in_cost(tmp_path: Path) -> None:
    frame = rows(tmp_path)
    assert list(report._against_compute(frame, Names())) == ["toy-compute"]
    assert not report._against_compute(frame.assign(train_flops=2e15), Names())
    assert not report._against_compute(frame.assign(train_flops=np.nan), Names())
    assert not report._against_compute(frame[frame["recipe"] == "short"], Names())


def test_a_head_of_one_known_cost_stands_in_the_legend_and_is_said_to_lack_the_other(tmp_path: Path) -> None:
    frame = rows(tmp_path)
    frame["train_seconds"] = frame["recipe"].map({"short": 30.0, "long": 90.0})
    frame.loc[frame["head_label"] == "hpn", "train_flops"] = np.nan
    drawn = compute.compute(frame, "by hand")
    (shown,) = drawn.figure.legends
    assert [text.get_text() for text in shown.get_texts()] == ["psc", "hpn", "Pareto front"]
    assert "Not shown where PFLOP of training are not known: hpn." in drawn.caption
    assert drawn.caption.count("not known") == 1


def test_costs_that_hardly_differ_do_not_fill_the_axis(tmp_path: Path) -> None:
    frame = rows(tmp_path)
    frame["train_flops"] = np.where(frame["head_label"] == "psc", 5.60576e9, 5.60577e9)
    axis = compute.compute(frame[frame["recipe"] == "short"], "by hand").figure.axes[0]
    low, high = axis.get_xlim()
    assert high > 1.1 * low
    assert "+" not in axis.xaxis.get_major_formatter().get_offset(), "no number is added to those of the ticks"
