"""Training curves: loss and accuracy by epoch, from the cells' ``history.csv``."""

import pandas as pd
from matplotlib.ticker import MaxNLocator

from headbench.results.compared import Comparison
from headbench.results.figures import histories
from headbench.results.figures.base import Drawn, canvas, heads_of, legend, names_of, plain_log, styles
from headbench.results.tables.base import at_largest_dim

PLACE = 9
# Of each panel: the column, the title of its axis, and what a value is multiplied by.
PANELS = {"train_loss": ("training loss", 1.0), "val_top1": ("top-1 validation accuracy (%)", 100.0)}


def compared(comparison: Comparison) -> dict[str, Drawn | str]:
    """Return the figure of the heads that were trained here, each at its largest dimension."""
    history, damaged = histories.read(at_largest_dim(comparison.rows), comparison.out)
    comparison.lines.extend(damaged)
    if history.empty:
        return {"curves": "No training curves: no cell was trained here."}
    return {"curves": curves(history, names_of(comparison.rows), comparison.description, heads_of(comparison.rows))}


def spread(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return mean, lowest and highest value over seeds by head and epoch; epochs that every seed has.

    A stage of a head goes on counting from the one before.
    """
    known = history.dropna(subset=[column])
    groups = known.groupby(["head_label", "epoch"], sort=False)[column]
    found = groups.agg(["mean", "min", "max", "count"]).reset_index()
    seeds = known.groupby("head_label")["seed"].nunique()
    return found[found["count"] == found["head_label"].map(seeds)]


def curves(
    history: pd.DataFrame, names: dict[str, str], description: str, heads: dict[str, str] | None = None
) -> Drawn:
    """Draw training loss and validation accuracy by epoch: the mean over seeds as a line, their range shaded.

    Args:
        history: of :func:`headbench.results.figures.histories.read`, with a cell's epochs in order.
        names: what the figure calls the heads, by label.
        description: of the comparison.
        heads: all of the comparison, as ``heads_of`` gives them, for a head to look alike in all figures; by default
            those of the history.
    """
    shown = [column for column in PANELS if column in history and history[column].notna().any()]
    looks = styles(heads or heads_of(history))
    with canvas(0.72, wide=len(shown) > 1) as figure:
        for axis, column in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            title, factor = PANELS[column]
            for head, own in spread(history, column).groupby("head_label", sort=False):
                look = looks[str(head)]
                values = factor * own[["mean", "min", "max"]]
                axis.plot(own["epoch"], values["mean"], **look.sparsely_marked(len(own)), label=names[str(head)])
                axis.fill_between(
                    own["epoch"], values["min"], values["max"], color=look.colour, alpha=0.15, linewidth=0
                )
            axis.set(xlabel="epoch", ylabel=title)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            if column == "train_loss" and (spread(history, column)["min"] > 0).all():
                axis.set_yscale("log")
                plain_log(axis.yaxis)
        legend(figure, *axis.get_legend_handles_labels())
    several = history.groupby("head_label")["seed"].nunique().max() > 1
    over = ", mean over seeds and shaded their range" if several else ", one seed"
    what = " and ".join(PANELS[column][0].removesuffix(" (%)") for column in shown).capitalize()
    dims = ", ".join(str(dim) for dim in sorted(set(history["feature_dim"])))
    caption = (
        f"{what} by epoch{over}; each head at its largest d ({dims}). The losses of different heads are different "
        f"functions: only their course can be compared. {description}."
    )
    return Drawn(figure, caption)
