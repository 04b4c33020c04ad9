"""Calibration errors against the feature dimension."""

import pandas as pd

from headbench.results.compared import Comparison
from headbench.results.figures.base import Drawn
from headbench.results.figures.lines import caption, draw, title
from headbench.results.tables.base import badly_fitted, primary

PLACE = 4
VIEWS = ("ece_raw", "ece_native", "ece_temperature")


def compared(comparison: Comparison) -> dict[str, Drawn]:
    """Return the figure of a comparison whose calibration errors were measured."""
    measured = comparison.rows[list(VIEWS)].notna().any(axis=None)
    return {"ece": calibration_errors(comparison.rows, comparison.description)} if measured else {}


def calibration_errors(rows: pd.DataFrame, description: str) -> Drawn:
    """Draw the debiased ECE of the last epoch in its three views against the feature dimension, a
    line per head, and in the primary one its floor.
    """
    (figure, summary), view = draw(rows, VIEWS, "feature_dim"), primary(rows)
    floor = 100 * rows[rows["selection"] == "last"].groupby("feature_dim")["ece_floor"].mean().dropna()
    notes = list[str]()
    for axis in figure.axes:
        if axis.get_ylabel() == title(f"ece_{view}") and len(floor):
            if len(floor) > 1:
                axis.plot(floor.index, floor, ":", color="0.3", zorder=1)
            else:  # a line through one point would not be seen
                axis.axhline(floor.iloc[0], linestyle=":", color="0.3", zorder=1)
            notes.append(f"Dotted, in the {view} view: the plain ECE that perfectly calibrated heads would have.")
    notes.append(badly_fitted(rows).strip())
    return Drawn(figure, caption("Debiased calibration error by feature dimension", summary, notes, description))
