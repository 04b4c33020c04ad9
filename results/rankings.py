"""Average ranks of heads: over data sets with Friedman's and Nemenyi's tests, or descriptive where there is one data set."""

import math

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from results.statistics import Ranks, ranks
from results.tables import COMPARISON, SELECTIONS, Table


def rank(rows: pd.DataFrame, selection: str) -> tuple[list[str], Ranks, bool] | None:
    """Return the heads, their ranks by top-1 accuracy, and whether the blocks are data sets; None where fewer than two heads can be compared.

    A condition is a comparison at one dimension, its score a head's mean over seeds; only heads and conditions count in which every head was trained. A data
    set's block is the mean rank over its conditions. With one data set its conditions are the blocks, which share images, so that ranks only describe.

    Args:
        rows: of a grid.
        selection: whose rows are ranked.
    """
    done = rows[(rows["selection"] == selection) & (rows["status"] == "done")]
    if done.empty:
        return None
    scores = done.pivot_table(index=[*COMPARISON, "feature_dim"], columns="head_label", values="top1", aggfunc="mean", sort=False, observed=True)
    scores = scores[list(dict.fromkeys(done["head_label"]))].dropna()
    if scores.shape[0] < 1 or scores.shape[1] < 2:
        return None
    conditions = (-scores).rank(axis=1)
    by_dataset = conditions.groupby(level="dataset", sort=False).mean()
    several = len(by_dataset) > 1
    found = ranks(-(by_dataset if several else conditions).to_numpy())
    return list(scores.columns), found, several


def table(heads: list[str], found: Ranks, several: bool, selection: str) -> Table:
    """Return the table of average ranks of :func:`rank`."""
    order = np.argsort(found.average, kind="stable")
    index = pd.Index([heads[place] for place in order], name="head")
    cells = pd.DataFrame({"average rank": [f"{found.average[place]:.2f}" for place in order]}, index=index)
    tidy = pd.DataFrame({"head_label": index, "average_rank": found.average[order]}).assign(n=found.n, p=found.p, critical_difference=found.critical_difference)
    if several and not math.isnan(found.p):
        tested = f"Friedman test over {found.n} data sets: p = {found.p:.3f}; ranks further apart than {found.critical_difference:.2f} differ at 5 % (Nemenyi)"
    elif several:
        tested = f"over {found.n} data sets; two heads have no Friedman test"
    else:
        tested = f"descriptive, over {found.n} conditions of one data set, which share their images: no test"
    caption = f"Average ranks by top-1 test accuracy (1 is best), {SELECTIONS[selection]}, where every head was trained. {tested}."
    return Table(f"ranks-{selection}", caption, cells, pd.DataFrame(False, index=index, columns=cells.columns), tidy)


def diagram(heads: list[str], found: Ranks) -> Figure:
    """Draw the critical-difference diagram (Demsar, JMLR 2006): heads on the axis of ranks, bars over those that do not differ.

    Args:
        heads: k names.
        found: ranks with a critical difference.
    """
    order = np.argsort(found.average, kind="stable")
    sorted_ranks = found.average[order]
    with sns.axes_style("white"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(7.5, 1.6 + 0.28 * len(heads)), layout="constrained")
        axis = figure.subplots()
        for line, place in enumerate(order):
            # The best head has the longest stem, so that no stem crosses a name.
            height = -0.5 * (len(heads) - line)
            axis.plot([found.average[place]] * 2, [0, height], color="0.4", linewidth=1)
            axis.text(found.average[place] + 0.04, height, f"{heads[place]} ({found.average[place]:.2f})", va="center", fontsize=9)
        bars = [(low, int(np.searchsorted(sorted_ranks, value + found.critical_difference, side="right")) - 1) for low, value in enumerate(sorted_ranks)]
        groups = [(low, high) for low, high in bars if high > low and not any(other < low and end >= high for other, end in bars)]
        for line, (low, high) in enumerate(groups):
            axis.plot(sorted_ranks[[low, high]], [0.25 + 0.2 * line] * 2, color="black", linewidth=3, solid_capstyle="butt")
        axis.axhline(0, color="black", linewidth=1)
        axis.set(xlim=(0.8, len(heads) + 1.2), yticks=[], xlabel=f"average rank over {found.n} data sets; critical difference {found.critical_difference:.2f}")
        axis.set_title(f"Friedman p = {found.p:.3f}; bars join heads that do not differ at 5 % (Nemenyi)", fontsize=10)
        sns.despine(ax=axis, left=True)
    return figure
