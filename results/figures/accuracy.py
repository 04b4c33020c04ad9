"""Accuracy against the feature dimension."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from headbench.results.compared import Comparison
from headbench.results.differences import not_separated
from headbench.results.figures.base import Drawn
from headbench.results.figures.lines import caption, draw
from headbench.results.tables.base import note_in_figure

PLACE = 1
# How many times as many errors the worst head has as the best, in an axis that is logarithmic in the errors.
APART = 8
TICKS = (0, 20, 40, 60, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 100)


def compared(comparison: Comparison) -> dict[str, Drawn]:
    """Return the figure of a comparison."""
    marks = not_separated(comparison.last, comparison.answers)
    return {"accuracy": accuracy(comparison.rows, comparison.description, marks)}


def accuracy(rows: pd.DataFrame, description: str, marks: dict[tuple[int, str], bool]) -> Drawn:
    """Draw top-1 accuracy of the last epoch against the feature dimension, mean and standard deviation over seeds, one
    line per head.

    Args:
        rows: of one comparison.
        description: of it.
        marks: of :func:`headbench.results.differences.not_separated`; the markers of separated heads are open.
    """
    apart = {key for key, mark in marks.items() if not mark}
    figure, summary = draw(rows, ("top1",), "feature_dim", apart)
    untested = sorted({int(dim) for dim in summary["feature_dim"]} - {dim for dim, _ in marks})
    notes = ["Open markers: separated from the best of their dimension."] if apart else []
    if apart and untested:
        told = ", ".join(map(str, untested))
        notes.append(f"All are filled where none is separated, or seeds are too few to tell: d = {told}.")
    notes += [note_in_figure(summary, "their markers are filled")] if apart else []
    notes += [_zoomed(figure.axes[0], summary, rows)]
    return Drawn(figure, caption("Top-1 test accuracy by feature dimension", summary, notes, description))


def _zoomed(axis: Axes, summary: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Make the axis of accuracy logarithmic in the errors where these lie far apart, so that good heads do not lie on
    one line; return what a caption says of it.
    """
    # No axis ends at 0 errors: one half of a test image stands for none.
    half = 50 / float(rows["n_test"].max())
    means = 100 * summary["mean"].dropna()
    errors = 100 - means + half
    if errors.empty or errors.max() < APART * errors.min():
        return ""

    def forward(value: Any) -> Any:
        return -np.log(np.maximum(100 - np.asarray(value, dtype=float), 0) + half)

    def backward(value: Any) -> Any:
        return 100 + half - np.exp(-np.asarray(value, dtype=float))

    low = max(0.0, float(means.min() - 100 * summary["std"].fillna(0).max()))
    axis.set_yscale("function", functions=(forward, backward))
    axis.set_ylim(low, 100)
    height, ticks = float(forward(100) - forward(low)), [100.0]
    for tick in reversed(TICKS):
        if low <= tick and forward(ticks[-1]) - forward(tick) > 0.07 * height:
            ticks.append(tick)
    axis.yaxis.set_major_locator(FixedLocator(ticks))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return "The vertical axis is logarithmic in the errors."
