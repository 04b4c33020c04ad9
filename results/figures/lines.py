"""Lines of a metric against the feature dimension or the imbalance factor."""

import textwrap
from collections.abc import Collection

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from headbench.results import columns
from headbench.results.figures.base import CROWD, heads_of, styles
from headbench.results.figures.hover import name_points
from headbench.results.numbers.ood import METRICS
from headbench.results.tables.base import over_seeds, primary, printed, seeds_of, summarise

ACCURACY = ("top1",)
ECES = ("ece_raw", "ece_native", "ece_temperature")
AUROCS = [name for name in METRICS if "auroc" in name]


def accuracy(rows: pd.DataFrame, description: str, marks: dict[tuple[int, str], bool]) -> Figure:
    """Draw top-1 accuracy of the last epoch against the feature dimension, mean and standard deviation over seeds, one
    line per head.

    Args:
        rows: of one comparison.
        description: its title.
        marks: of :func:`headbench.results.differences.not_separated`; the markers of separated heads are open.
    """
    apart = {key for key, mark in marks.items() if not mark}
    note = "; open marker: separated from the best of its dimension" if apart else ""
    return _lines(rows, ACCURACY, "feature_dim", description, note, apart)


def calibration_errors(rows: pd.DataFrame, description: str) -> Figure:
    """Draw the debiased ECE of the last epoch in its three views against the feature dimension, as :func:`accuracy`
    does, and in the primary one its floor.
    """
    figure, view, last = (
        _lines(rows, ECES, "feature_dim", description),
        primary(rows),
        rows[rows["selection"] == "last"],
    )
    floor = 100 * last.groupby("feature_dim")["ece_floor"].mean().dropna()
    for axis in figure.axes:
        if axis.get_ylabel() == _title(f"ece_{view}") and len(floor):
            axis.plot(floor.index, floor, ":", color="0.3", zorder=1)
            axis.annotate(
                "plain ECE of calibrated heads",
                (floor.index[0], floor.iloc[0]),
                (0, 4),
                textcoords="offset points",
                fontsize=8,
                color="0.3",
            )
    return figure


def outside(rows: pd.DataFrame, description: str) -> Figure:
    """Draw how well the last epoch tells other data sets from its own, the AUROC by each score and its mean over these
    sets, against the feature dimension, as :func:`accuracy` does.

    Args:
        rows: of one comparison.
        description: its title.
    """
    named = rows["ood"].dropna().iloc[0]
    return _lines(rows, tuple(AUROCS), "feature_dim", f"{description}, against {named}")


def imbalance(rows: pd.DataFrame, description: str) -> Figure:
    """Draw top-1 accuracy and the ECE of the last epoch against the imbalance factor, as :func:`accuracy` does.

    Args:
        rows: of comparisons that differ in their imbalance factor and protocol alone, of one dimension.
        description: title.
    """
    return _lines(rows, (*ACCURACY, *ECES), "imbalance_factor", description)


def _lines(
    rows: pd.DataFrame,
    metrics: tuple[str, ...],
    across: str,
    description: str,
    note: str = "",
    apart: Collection[tuple[int, str]] = frozenset(),
) -> Figure:
    """Draw a panel per metric that was measured: mean and standard deviation over seeds against one column, a line per
    head, open markers for ``apart``.
    """
    chosen = rows[(rows["selection"] == "last") | (rows["status"] != "done")]
    shown = [metric for metric in metrics if chosen[metric].notna().any()] or list(metrics[:1])
    looks, places = styles(heads_of(rows)), sorted(set(chosen[across]))
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(3 + 4.2 * len(shown), 4.6), layout="constrained")
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for axis, metric in zip(panels, shown, strict=True):
            summary = pd.concat(
                [summarise(part, metric).assign(place=place) for place, part in chosen.groupby(across)],
                ignore_index=True,
            )
            _panel(axis, summary.assign(says=_said(summary, across)), looks, apart)
            axis.set_xscale("log")
            axis.set_xlim(0.8 * min(places), 1.25 * max(places))
            axis.xaxis.set_major_locator(FixedLocator(places))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set(xlabel=f"{columns.NAMED[across].long} (log scale)", ylabel=_title(metric))
        title = textwrap.fill(f"{description}; last epoch, {over_seeds(summary)}{note}", 90 * len(shown))
        if len(shown) == 1 and len(looks) <= CROWD:
            panels[0].set_title(title, fontsize=9)
            panels[0].legend(title="head", frameon=True)
        else:
            figure.suptitle(title, fontsize=9)
            figure.set_size_inches(figure.get_figwidth() + 3, 4.6 + 0.1 * max(0, len(looks) - CROWD))
            containers, labels = panels[0].get_legend_handles_labels()
            # Without the error bars, whose caps hide which marker it is.
            figure.legend(
                [container[0] for container in containers],
                labels,
                loc="outside right upper",
                fontsize=9 if len(looks) <= CROWD else 7,
            )
    return figure


def _panel(
    axis: Axes, summary: pd.DataFrame, looks: dict[str, tuple[str, str]], apart: Collection[tuple[int, str]]
) -> None:
    """Draw the line of each head into one panel.

    Args:
        axis: the panel's.
        summary: of one metric, with the columns ``place``, of the horizontal axis, and ``says``, of the pointer.
        looks: colour and marker of each head.
        apart: places and heads with open markers.
    """
    for number, (head, (colour, marker)) in enumerate(looks.items()):
        own = summary[summary["head_label"] == head].sort_values("place")
        spread = 100 * own["std"].fillna(0)
        # Heads stand 1.5 % apart, less where they are many, so that equal means and their error bars stay visible.
        dodge = 1.015 ** ((number - (len(looks) - 1) / 2) * min(1, 10 / len(looks)))
        drawn = axis.errorbar(
            own["place"] * dodge,
            100 * own["mean"],
            spread,
            color=colour,
            marker=marker,
            capsize=3,
            linewidth=1.8,
            label=head,
        )
        name_points(drawn[0], own.loc[own["mean"].notna(), "says"].tolist())
        open_ones = own[[(place, head) in apart for place in own["place"]]]
        (covering,) = axis.plot(
            open_ones["place"] * dodge,
            100 * open_ones["mean"],
            marker,
            color=colour,
            markerfacecolor="white",
            zorder=3,
        )
        name_points(covering, open_ones["says"].tolist())


def _said(summary: pd.DataFrame, across: str) -> list[str]:
    """Return what the pointer says of each mean: head, dimension, value and spread."""
    column, usual = columns.NAMED[across], seeds_of(summary)
    return [
        f"{row['head_label']}, {column.above(row['place'])}: {printed(row, usual)} %"
        for row in summary.to_dict("records")
    ]


def _title(metric: str) -> str:
    column = columns.NAMED[metric]
    return f"{column.long or column.title} (%)"
