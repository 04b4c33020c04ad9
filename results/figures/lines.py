"""Lines of metrics against a column of the rows, a line per head: what several figures share."""

from collections.abc import Collection

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from headbench.results import columns
from headbench.results.figures.base import Look, canvas, heads_of, legend, names_of, styles
from headbench.results.figures.hover import name_points
from headbench.results.tables.base import over_seeds, printed, seeds_of, summarised


def draw(
    rows: pd.DataFrame, metrics: tuple[str, ...], across: str, apart: Collection[tuple[int, str]] = frozenset()
) -> tuple[Figure, pd.DataFrame]:
    """Draw a panel per metric that was measured: mean and standard deviation over seeds against one column, a line per
    head, open markers for ``apart``; return also the summary of the last metric.
    """
    chosen = rows[(rows["selection"] == "last") | (rows["status"] != "done")]
    shown = [metric for metric in metrics if chosen[metric].notna().any()] or list(metrics[:1])
    looks, names, places = styles(heads_of(rows)), names_of(rows), sorted(set(chosen[across]))
    by_place = {place: summarised(part, shown) for place, part in chosen.groupby(across)}
    with canvas(0.75 if len(shown) < 4 else 1.4, wide=len(shown) > 1) as figure:
        below = 2 if len(shown) == 4 else 1
        panels = figure.subplots(below, -(-len(shown) // below), squeeze=False).flat
        for axis, metric in zip(panels, shown, strict=True):
            summary = pd.concat([own[metric].assign(place=place) for place, own in by_place.items()], ignore_index=True)
            _panel(axis, summary.assign(says=_said(summary, across)), looks, apart)
            axis.set_xscale("log")
            axis.set_xlim(0.8 * min(places), 1.25 * max(places))
            axis.xaxis.set_major_locator(FixedLocator(places))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set(xlabel=columns.NAMED[across].long, ylabel=title(metric))
        # Without the error bars, whose caps hide which marker it is.
        legend(figure, [container[0] for container in axis.containers], [names[head] for head in looks])
    return figure, summary


def _panel(axis: Axes, summary: pd.DataFrame, looks: dict[str, Look], apart: Collection[tuple[int, str]]) -> None:
    """Draw the line of each head into one panel.

    Args:
        axis: the panel's.
        summary: of one metric, with the columns ``place``, of the horizontal axis, and ``says``, of the pointer.
        looks: of each head.
        apart: places and heads with open markers.
    """
    for number, (head, look) in enumerate(looks.items()):
        own = summary[summary["head_label"] == head].sort_values("place")
        spread = 100 * own["std"]  # of one seed there is none, and no bar
        # Heads stand 1.5 % apart, less where they are many, so that equal means and their error bars stay visible.
        dodge = 1.015 ** ((number - (len(looks) - 1) / 2) * min(1, 10 / len(looks)))
        drawn = axis.errorbar(own["place"] * dodge, 100 * own["mean"], spread, **look.marked, capsize=1.5, label=head)
        name_points(drawn[0], own.loc[own["mean"].notna(), "says"].tolist())
        open_ones = own[[(place, head) in apart for place in own["place"]]]
        (covering,) = axis.plot(
            open_ones["place"] * dodge,
            100 * open_ones["mean"],
            look.marker,
            color=look.colour,
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


def title(metric: str) -> str:
    """Return the title of a metric's axis."""
    column = columns.NAMED[metric]
    return f"{column.long or column.title} (%)"


def caption(what: str, summary: pd.DataFrame, notes: list[str], description: str) -> str:
    """Return the caption of such lines: what they show, and notes on it."""
    told = f"{what}, last epoch, {over_seeds(summary)}.{_fewer(summary)}"
    told += " Points of one place are shifted, so that none hides another."
    return " ".join([told, *filter(None, notes), f"{description}."])


def _fewer(summary: pd.DataFrame) -> str:
    """Return a sentence on the places where a head has fewer seeds than is usual; nothing where none has."""
    usual = seeds_of(summary)
    few = summary[(summary["n"] > 0) & (summary["n"] < usual)].groupby("place")["n"].agg(["min", "max"])
    told = [f"{place:g} ({' to '.join(map(str, dict.fromkeys(ends)))})" for place, *ends in few.itertuples()]
    alone = "; one has no bar" if len(few) and few["min"].min() == 1 else ""
    return f" Fewer seeds at {', '.join(told)}{alone}." if told else ""
