"""What the lines of the figures show equals the rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from headbench import results
from headbench.results import report
from headbench.results.figures import accuracy, ece, imbalance
from headbench.results.figures.base import Drawn
from headbench.results.tables import trust
from tests.results import helpers, known


def heights(drawn: Drawn, panel: int) -> dict[str, list[float]]:
    """The means of each head's line, by its colour's place in the legend."""
    axis = drawn.figure.axes[panel]
    return {
        str(container.get_label()): list(np.asarray(container.lines[0].get_ydata()))
        for container in axis.containers
        if isinstance(container, ErrorbarContainer)
    }


def means(rows: pd.DataFrame, head: str, metric: str, by: str) -> list[float]:
    last = rows[(rows["selection"] == "last") & (rows["head_label"] == head)]
    return [100 * mean for mean in last.groupby(by)[metric].mean()]


def test_the_ece_in_three_views_against_the_dimension(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid")
    figure = ece.calibration_errors(rows, "by hand")
    for panel, metric in enumerate(ece.VIEWS):
        assert heights(figure, panel)["psc"] == pytest.approx(means(rows, "psc", metric, "feature_dim"))
    assert [axis.get_ylabel() for axis in figure.figure.axes] == [
        "ECE raw (%)",
        "ECE native (%)",
        "ECE temperature (%)",
    ]


def test_dimensions_of_fewer_seeds_are_told_and_one_seed_has_no_bar() -> None:
    few = {("psc", 5): [0.5, 0.6, 0.7], ("hpn", 5): [0.5, 0.6, 0.7], ("psc", 9): [0.5], ("hpn", 9): [0.5, 0.6]}
    rows = pd.DataFrame(
        [
            known.FACTS
            | {"head": head, "head_label": head, "head_display": head.upper(), "feature_dim": dim, "seed": seed}
            | {"cell_id": f"{head} {dim} {seed}", "top1": top1, "top1_low": top1, "top1_high": top1, "n_test": 1000}
            for (head, dim), values in few.items()
            for seed, top1 in enumerate(values)
        ]
    )
    drawn = accuracy.accuracy(rows, "by hand", {})
    assert "n = 3 seeds. Fewer seeds at 9 (1 to 2); one has no bar. Points" in drawn.caption
    bars = [
        [len(bar) > 0 for bar in container.lines[2][0].get_segments()]
        for container in drawn.figure.axes[0].containers
        if isinstance(container, ErrorbarContainer)
    ]
    assert [sum(own) for own in bars] == [1, 2]
    assert trust.lines(rows.assign(health="ok", error=None))[-1].endswith(
        "unlike numbers of seeds, 3 at d = 5, 1 to 2 at d = 9; means and intervals of fewer are less certain."
    )


@pytest.mark.parametrize("dims", [[5], [2, 5]])
def test_the_floor_of_one_dimension_is_a_line_too(tmp_path: Path, dims: list[int]) -> None:
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid").assign(ece_floor=0.03)
    axis = ece.calibration_errors(rows[rows["feature_dim"].isin(dims)], "by hand").figure.axes[2]
    (floor,) = (line for line in axis.lines if line.get_linestyle() == ":")
    assert set(np.asarray(floor.get_ydata())) == {3.0}
    assert np.ptp(np.asarray(floor.get_xdata(), dtype=float)) > 0


def test_a_view_that_was_not_measured_has_no_panel(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid").assign(ece_temperature=np.nan)
    figure = ece.calibration_errors(rows, "by hand").figure
    assert len(figure.axes) == 2


def test_accuracy_and_ece_against_the_imbalance(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Two factors, of one protocol each, share a figure in the report; one factor alone has none."""
    cells = [
        helpers.write_cell(
            tmp_path, helpers.facts("psc", dim, seed, imbalance_factor=factor, dataset=f"toy{factor}"), right
        )
        | {"dataset": "toy"}
        for dim, seed, factor, right in ((2, 0, 1, 20), (5, 0, 1, 38), (5, 1, 1, 40), (5, 0, 100, 20))
    ]
    helpers.write_grid(tmp_path, cells)
    rows = results.load(tmp_path, "toy-grid")
    figure = imbalance.imbalance(rows[rows["feature_dim"] == 5], "by hand")
    assert heights(figure, 0)["psc"] == pytest.approx([97.5, 50])
    assert figure.figure.axes[0].get_xlabel() == "imbalance factor"
    request.getfixturevalue("no_pictures")
    drawn = {path.stem for path in (report.build(tmp_path, "toy-grid").page.parent / "figures").glob("*.png")}
    assert "toy-imbalance" in drawn
    helpers.write_grid(tmp_path, cells[:3], "balanced")
    assert "toy-imbalance" not in {
        path.stem for path in (report.build(tmp_path, "balanced").page.parent / "figures").glob("*.png")
    }


def test_the_axis_of_errors_keeps_good_heads_apart(tmp_path: Path) -> None:
    """99 and 99.5 % of 1,000 images lie as far apart as 50 and 75 %: half as many errors are the same way up."""
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid").assign(n_test=10**6)
    rows.loc[rows["head_label"] == "psc", "top1"] = 0.5
    rows.loc[rows["head_label"] == "etf", "top1"] = 0.995
    drawn = accuracy.accuracy(rows, "by hand", {})
    assert "logarithmic in the errors" in drawn.caption
    up = drawn.figure.axes[0].transData.transform([(2, value) for value in (50, 75, 99, 99.5)])[:, 1]
    assert up[1] - up[0] == pytest.approx(up[3] - up[2], rel=0.01)
    assert "logarithmic" not in accuracy.accuracy(rows.assign(top1=rows["top1"] / 2), "by hand", {}).caption
