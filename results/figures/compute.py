"""Accuracy against what a training cost."""

import textwrap
from collections.abc import Hashable
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from headbench.results.figures.base import CROWD, heads_of, styles
from headbench.results.figures.hover import name_points
from headbench.results.tables.base import over_seeds, printed, seeds_of
from headbench.results.tables.by_compute import COST, front, measured


def compute(rows: pd.DataFrame, description: str) -> Figure:
    """Draw top-1 accuracy of the last epoch against the floating-point operations of training, mean over seeds: a point
    per head and recipe, a line from the shorter to the longer trainings of a head, and a dashed line through the points
    that no cheaper one reaches, the Pareto front; a head that trained unsoundly is not on it.

    Args:
        rows: of comparisons that differ in their recipe alone, of one dimension, whose compute is known.
        description: title.
    """
    points = measured(rows, "last")
    looks = styles(heads_of(rows))
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(10.2, 5 + 0.1 * max(0, len(looks) - CROWD)), layout="constrained")
        axis = figure.subplots()
        for head, (colour, marker) in looks.items():
            own = points[points["head_label"] == head]
            if len(own):
                name = textwrap.fill(head, 45)
                heights = 100 * own["mean"]
                (line,) = axis.plot(own["cost"], heights, color=colour, marker=marker, linewidth=1.8, label=name)
                name_points(line, [_says(row, seeds_of(points)) for row in own.to_dict("records")])
        best = front(points[~points["marked"]])
        axis.step(best["cost"], 100 * best["mean"], "--", color="0.4", where="post", zorder=1, label="Pareto front")
        axis.set_xscale("log")
        for ticks in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
            ticks(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set(xlabel=f"{COST.long} (log scale)", ylabel="top-1 test accuracy (%)")
        axis.set_title(textwrap.fill(f"{description}; last epoch, {over_seeds(points)}", 70), fontsize=9)
        figure.legend(loc="outside right upper", fontsize=9 if len(looks) <= CROWD else 7)
    return figure


def _says(row: dict[Hashable, Any], usual: int) -> str:
    """Return what the pointer says of a point."""
    return f"{row['head_label']}, recipe {row['recipe']}, {row['cost']:.4g} {COST.heading}: {printed(row, usual)} %"
