"""What the lines of the figures show equals the rows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from headbench import results
from headbench.results import report
from headbench.results.figures import lines, reliability
from tests.results import helpers


def heights(figure: Figure, panel: int) -> dict[str, list[float]]:
    """The means of each head's line, by its colour's place in the legend."""
    axis = figure.axes[panel]
    return {
        str(container.get_label()): list(np.asarray(container.lines[0].get_ydata()))
        for container in axis.containers
        if isinstance(container, ErrorbarContainer)
    }


def bars(figure: Figure, panel: int) -> list[float]:
    """The heights of all bars of a panel."""
    return [patch.get_height() for patch in figure.axes[panel].patches if isinstance(patch, Rectangle)]


def means(rows: pd.DataFrame, head: str, metric: str, by: str) -> list[float]:
    last = rows[(rows["selection"] == "last") & (rows["head_label"] == head)]
    return [100 * mean for mean in last.groupby(by)[metric].mean()]


def test_the_ece_in_three_views_against_the_dimension(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid")
    figure = lines.calibration_errors(rows, "by hand")
    for panel, metric in enumerate(lines.ECES):
        assert heights(figure, panel)["psc"] == pytest.approx(means(rows, "psc", metric, "feature_dim"))
    assert [axis.get_ylabel() for axis in figure.axes] == ["ECE raw (%)", "ECE native (%)", "ECE temperature (%)"]


def test_a_view_that_was_not_measured_has_no_panel(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid").assign(ece_temperature=np.nan)
    assert len(lines.calibration_errors(rows, "by hand").axes) == 2


@pytest.mark.usefixtures("no_pictures")
def test_accuracy_and_ece_against_the_imbalance(tmp_path: Path) -> None:
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
    figure = lines.imbalance(rows[rows["feature_dim"] == 5], "by hand")
    assert heights(figure, 0)["psc"] == pytest.approx([97.5, 50])
    assert figure.axes[0].get_xlabel() == "imbalance factor (log scale)"
    drawn = {path.stem for path in (report.build(tmp_path, "toy-grid").page.parent / "figures").glob("*.png")}
    assert "toy-imbalance" in drawn
    helpers.write_grid(tmp_path, cells[:3], "balanced")
    assert "toy-imbalance" not in {
        path.stem for path in (report.build(tmp_path, "balanced").page.parent / "figures").glob("*.png")
    }


def test_diagrams_stand_side_by_side(tmp_path: Path) -> None:
    """One column per head, with the bins of its own diagram."""
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid")
    pooled, _ = reliability.pool(rows, tmp_path)
    figure, alone = reliability.side_by_side(pooled, rows, "by hand"), reliability.diagrams(pooled, rows)
    assert list(alone) == ["psc", "etf"]
    for place, head in enumerate(alone):
        for line in (0, 1):
            together = bars(figure, 2 * line + place)
            assert together == bars(alone[head], line)
