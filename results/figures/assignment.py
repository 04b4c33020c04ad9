"""Figures of what a head did from epoch to epoch, from the cells' ``history.csv``."""

from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from headbench.core.errors import DamagedError
from headbench.results import store
from headbench.results.figures.base import CROWD, heads_of, styles

CHANGES, SIMILARITY = "assignment_changes", "assignment_similarity"


def histories(rows: pd.DataFrame, out: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the epochs of each head's cells of the smallest dimension with ``head``, ``head_label``,
    ``feature_dim``, ``seed`` and ``num_classes``.

    There a class has the most neighbours. Returns also a line for each damaged file.

    Args:
        rows: of one comparison.
        out: folder of the runs.
    """
    tables, damaged = [], []
    last = rows[(rows["selection"] == "last") & rows["imported"].isna()]
    for _, row in last[last["feature_dim"] == last.groupby("head_label")["feature_dim"].transform("min")].iterrows():
        try:
            history = pd.read_csv(store.read_file(store.cell_folder(out, row["cell_id"]), "history.csv"))
        except DamagedError as damage:
            damaged.append(f"{damage} and left out of the figures; remove the cell's result.json to train it again")
            continue
        told = ("head", "head_label", "feature_dim", "seed", "num_classes")
        tables.append(history.assign(**{key: row[key] for key in told}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), damaged


def assignment(history: pd.DataFrame, description: str) -> Figure | None:
    """Draw how many classes changed their prototype before each epoch, and how similar class means and prototypes then
    were.

    One line per head and seed, at the smallest dimension; None where no head re-assigns classes.

    Args:
        history: of :func:`histories`.
        description: title.
    """
    if CHANGES not in history:
        return None
    moved = history.dropna(subset=[CHANGES])
    moved = moved[moved["feature_dim"] == moved["feature_dim"].min()]
    first = moved.groupby("head_label")["seed"].min()
    looks = styles(heads_of(history))
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(9.2, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (head, seed), own in moved.groupby(["head_label", "seed"], sort=False):
            look = {"color": looks[head][0], "marker": looks[head][1], "markersize": 4, "linewidth": 1.5}
            left.plot(own["epoch"], own[CHANGES], **look, label=head if seed == first[head] else None)
            right.plot(own["epoch"], own[SIMILARITY] / own["num_classes"], **look)
        classes = int(moved["num_classes"].iloc[0])
        left.set(xlabel="epoch", ylabel=f"classes re-assigned, of {classes}", ylim=(-0.03 * classes, 1.03 * classes))
        right.set(xlabel="epoch", ylabel="mean similarity of class mean\nand its prototype")
        heads = moved["head_label"].nunique()
        if heads > CROWD:
            figure.set_size_inches(13, 3.9 + 0.1 * heads)
            figure.legend(*left.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
        else:
            left.legend(title="head", fontsize=9)
        figure.suptitle(f"{description}; d = {moved['feature_dim'].iloc[0]}, a line per seed", fontsize=9, wrap=True)
    return figure
