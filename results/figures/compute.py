"""Accuracy against what a training cost."""

from collections.abc import Hashable
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from headbench.results import columns
from headbench.results.compared import Comparison
from headbench.results.figures.base import Drawn, canvas, heads_of, legend, names_of, plain_log, styles
from headbench.results.figures.hover import name_points
from headbench.results.tables.base import note_in_figure, over_seeds, printed, seeds_of
from headbench.results.tables.by_compute import front, measured, without_cost

PLACE = 10
COSTS = ("train_flops", "train_seconds")
# Costs that lie further apart stand on a logarithmic axis.
FAR = 4
# Those that lie nearer are shown as near as they are.
NEAR = 1.1


def compared(comparison: Comparison) -> dict[str, Drawn]:
    """Return the figure of a comparison's largest dimension, if the costs of its trainings are known and differ."""
    last = comparison.last
    largest = last[last["feature_dim"] == last["feature_dim"].max()]
    if all(measured(largest, "last", cost)["cost"].nunique() < 2 for cost in COSTS):
        return {}
    return {"compute": compute(largest, comparison.description)}


def compute(rows: pd.DataFrame, description: str, heads: dict[str, str] | None = None) -> Drawn:
    """Draw top-1 accuracy of the last epoch against the floating-point operations of training and against its seconds,
    mean over seeds: a point per head and recipe, a line from the shorter to the longer trainings of a head, and a
    dashed line through the points that no cheaper one reaches, the Pareto front; a head with a marked cell is not on
    it.

    Seconds are left out where not all cells were trained alike: on one kind of device, with as many threads.

    Args:
        rows: of comparisons that differ in their recipe alone, of one dimension, where one of the costs is known.
        description: of them.
        heads: all of the grid, as ``heads_of`` gives them, for a head to look alike in all figures; by default
            those of the rows.
    """
    done = columns.finished(rows)
    machines = columns.narrow(done[done["train_seconds"].notna()], columns.MACHINE).drop_duplicates()
    known = {cost: measured(rows, "last", cost) for cost in COSTS}
    shown = {cost: own for cost, own in known.items() if len(own) and (cost == COSTS[0] or len(machines) == 1)}
    looks, names = styles(heads or heads_of(rows)), names_of(rows)
    with canvas(0.75, wide=len(shown) > 1) as figure:
        axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        lines, drawn = dict[str, Line2D](), dict[str, Line2D]()
        for axis, (cost, points) in zip(axes, shown.items(), strict=True):
            for head, look in looks.items():
                own = points[points["head_label"] == head]
                if len(own):
                    (line,) = axis.plot(own["cost"], 100 * own["mean"], **look.marked, label=names[head])
                    lines.setdefault(names[head], line)
                    name_points(line, [_says(row, cost, seeds_of(points)) for row in own.to_dict("records")])
            best = front(points[~points["marked"]])
            front_line = {"color": "0.4", "linestyle": (0, (2, 2)), "linewidth": 0.9, "zorder": 1}
            (stairs,) = axis.step(best["cost"], 100 * best["mean"], where="post", **front_line)
            if len(best):
                drawn["Pareto front"] = stairs
            axis.set_xlabel(columns.NAMED[cost].long)
            if points["cost"].max() > FAR * points["cost"].min():
                axis.set(xscale="log", xlabel=f"{columns.NAMED[cost].long} (log scale)")
                plain_log(axis.xaxis)
            elif points["cost"].max() < NEAR * points["cost"].min():  # else a difference of a millionth fills the axis
                axis.set_xlim(points["cost"].min() / NEAR, points["cost"].max() * NEAR)
                axis.ticklabel_format(axis="x", useOffset=False)
        axes[0].set_ylabel(f"{columns.NAMED['top1'].long} (%)")
        legend(figure, [*lines.values(), *drawn.values()], [*lines, *drawn])
    what = f"d = {rows['feature_dim'].iloc[0]}. {description}."
    return Drawn(figure, f"{_caption(shown, machines)}{without_cost(rows, 'last', list(shown))} {what}")


def _says(row: dict[Hashable, Any], cost: str, usual: int) -> str:
    """Return what the pointer says of a point."""
    spent = f"{row['cost']:.4g} {columns.NAMED[cost].heading}"
    return f"{row['head_label']}, recipe {row['recipe']}, {spent}: {printed(row, usual)} %"


def _caption(shown: dict[str, pd.DataFrame], machines: pd.DataFrame) -> str:
    what = " and against ".join(columns.NAMED[cost].long for cost in shown)
    told = [f"Top-1 test accuracy against {what}, last epoch, {over_seeds(next(iter(shown.values())))}."]
    told.append("The Pareto front joins what no cheaper training reaches.")
    told += filter(None, [note_in_figure(pd.concat(shown.values()), "they are not on the front")])
    if COSTS[1] in shown:
        first = machines.iloc[0]
        threads = "" if pd.isna(first["threads"]) else f", threads: {first['threads']}"
        told.append(f"Seconds are those of {first['device']}{threads}.")
    elif len(machines) > 1:
        told.append("No figure against seconds: the cells were trained on different machines.")
    return " ".join(told)
