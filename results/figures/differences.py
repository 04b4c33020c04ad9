"""Differences of accuracy to the first head, with their intervals."""

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from headbench.results.compared import Comparison
from headbench.results.figures.base import Drawn, canvas, heads_of, legend, lines, names_of, short, styles
from headbench.results.figures.hover import name_points
from headbench.results.tables import paired
from headbench.results.tables.base import interval

PLACE = 2
# Points up to which the axis is linear; beyond, it is logarithmic.
LINEAR = 1.0
# Letters of a name that stands on a line of its own.
LONG = 14
TICKS = (0, 1, 3, 10, 30, 100)


def compared(comparison: Comparison) -> dict[str, Drawn | str]:
    """Return the figure of a comparison with a head beside its first one."""
    reference = str(comparison.rows["head_label"].iloc[0])
    table = paired.compared(comparison)
    if table is None:
        return {"differences": f"No figure of differences: no head was trained beside {reference}."}
    return {"differences": differences(table.tidy, comparison.rows, comparison.description)}


def differences(tidy: pd.DataFrame, rows: pd.DataFrame, description: str) -> Drawn:
    """Draw each head's difference to the first one by dimension, with its 95 % interval.

    Args:
        tidy: of the table of pairs.
        rows: of the comparison.
        description: of it.
    """
    looks, names = styles(heads_of(rows)), names_of(rows)
    reference = str(rows["head_label"].iloc[0])
    dims, heads = sorted(set(tidy["d"])), [head for head in looks if head in set(tidy["head"])]
    step = len(heads) + 1
    furthest = float(np.nanmax(tidy[["mean", "low", "high"]].abs().to_numpy(dtype=float)))
    with canvas(0.2 + lines(0.62 * max(len(dims) * step, 6))) as figure:
        axis = figure.subplots()
        for head in heads:
            own, look = tidy[tidy["head"] == head], looks[head]
            heights = [-dims.index(dim) * step - heads.index(head) for dim in own["d"]]
            arms = [own["mean"] - own["low"], own["high"] - own["mean"]]
            drawn = axis.errorbar(
                own["mean"], heights, xerr=arms, fmt=look.marker, color=look.colour, capsize=1.5, label=names[head]
            )
            said = own[["d", "mean", "low", "high"]].itertuples(index=False)
            name_points(drawn[0], [f"{head}, d = {dim}: {interval(*numbers)} points" for dim, *numbers in said])
        axis.axvline(0, color="0.3", linewidth=0.8, zorder=1)
        middles = [-place * step - (len(heads) - 1) / 2 for place in range(len(dims))]
        axis.set_ylim(1.5 - len(dims) * step, 0.5)
        axis.set(yticks=middles, yticklabels=[f"d = {dim}" for dim in dims])
        other = short(names[reference])
        axis.set_xlabel(f"top-1 accuracy minus that of{' ' if len(other) < LONG else chr(10)}{other} (points)")
        axis.grid(visible=False, axis="y")
        notes = [] if tidy["low"].isna().all() else ["Whiskers: 95 % interval, for new trainings and new test images."]
        notes += ["One seed has none."] if notes and tidy["low"].isna().any() else []
        if furthest > 10 * LINEAR:
            axis.set_xscale("symlog", linthresh=LINEAR, linscale=0.5)
            reach = next((tick for tick in TICKS if tick >= furthest), TICKS[-1])
            ticks = [tick for tick in TICKS if tick <= reach]
            axis.xaxis.set_major_locator(FixedLocator([*(-tick for tick in ticks[:0:-1]), *ticks]))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}")))
            notes.append(f"The axis is linear up to {LINEAR:g} point and logarithmic beyond.")
        legend(figure, [container[0] for container in axis.containers], [names[head] for head in heads])
    what = f"Top-1 test accuracy minus that of {names[reference]}, on the same test images with the same seeds"
    return Drawn(figure, " ".join([f"{what}, last epoch.", *notes, f"{description}."]))
