"""The critical-difference diagram of average ranks."""

import numpy as np
import seaborn as sns

from headbench.results.figures.base import Drawn, canvas, lines
from headbench.results.numbers.statistics import Ranks


def diagram(heads: list[str], found: Ranks) -> Drawn:
    """Draw the critical-difference diagram (Demsar, JMLR 2006): heads on the axis of ranks, bars over those that do not
    differ.

    Args:
        heads: k names.
        found: ranks with a critical difference.
    """
    order = np.argsort(found.average, kind="stable")
    sorted_ranks = found.average[order]
    with canvas(0.25 + lines(1.1 * len(heads)), grid=False) as figure:
        axis = figure.subplots()
        for line, place in enumerate(order):
            # The best head has the longest stem, so that no stem crosses a name.
            height = -0.5 * (len(heads) - line)
            axis.plot([found.average[place]] * 2, [0, height], color="0.4", linewidth=0.7)
            name = f"{heads[place]} ({found.average[place]:.2f})"
            axis.text(found.average[place] + 0.04, height, name, va="center", fontsize="small")
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
                sorted_ranks[[low, high]], [0.25 + 0.2 * line] * 2, color="black", linewidth=2, solid_capstyle="butt"
            )
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(xlim=(0.8, len(heads) + 1.2), yticks=[], xlabel="average rank")
        sns.despine(ax=axis, left=True)
    caption = (
        f"Average ranks over {found.n} data sets (1 is best); Friedman {found.said}. Bars join heads that do not "
        f"differ at 5 % (Nemenyi): their ranks are within the critical difference of {found.critical_difference:.2f}."
    )
    return Drawn(figure, caption)
