"""The critical-difference diagram of average ranks."""

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from headbench.results.numbers.statistics import Ranks


def diagram(heads: list[str], found: Ranks) -> Figure:
    """Draw the critical-difference diagram (Demsar, JMLR 2006): heads on the axis of ranks, bars over those that do not
    differ.

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
            axis.text(
                found.average[place] + 0.04,
                height,
                f"{heads[place]} ({found.average[place]:.2f})",
                va="center",
                fontsize=9,
            )
        bars = [
            (low, int(np.searchsorted(sorted_ranks, value + found.critical_difference, side="right")) - 1)
            for low, value in enumerate(sorted_ranks)
        ]
        groups = [
            (low, high)
            for low, high in bars
            if high > low and not any(other < low and end >= high for other, end in bars)
        ]
        for line, (low, high) in enumerate(groups):
            axis.plot(
                sorted_ranks[[low, high]], [0.25 + 0.2 * line] * 2, color="black", linewidth=3, solid_capstyle="butt"
            )
        axis.axhline(0, color="black", linewidth=1)
        axis.set(
            xlim=(0.8, len(heads) + 1.2),
            yticks=[],
            xlabel=f"average rank over {found.n} data sets; critical difference {found.critical_difference:.2f}",
        )
        axis.set_title(f"Friedman p = {found.p:.3f}; bars join heads that do not differ at 5 % (Nemenyi)", fontsize=10)
        sns.despine(ax=axis, left=True)
    return figure
