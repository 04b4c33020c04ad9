"""Figures: accuracy against the feature dimension, and reliability diagrams. One colour per head everywhere."""

import io
import textwrap
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from results import calibration, store, tables

mpl.use("Agg")

# Seaborn's colour-blind palette; these heads keep their colour in every grid, others take the next free one.
PALETTE = sns.color_palette("colorblind").as_hex()
HEADS = {"psc": 0, "word2vec": 1, "hpn": 2, "etf": 4, "dl2pa": 3}
# More heads than this have their legend beside the axes.
CROWD = 10
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "*"]


def styles(head_labels: list[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each head label."""
    free = [number for number in range(len(PALETTE)) if number not in HEADS.values()]
    others = [label for label in head_labels if label not in HEADS]
    numbers = HEADS | {label: free[place % len(free)] for place, label in enumerate(others)}
    return {label: (PALETTE[numbers[label]], MARKERS[numbers[label]]) for label in head_labels}


def accuracy(rows: pd.DataFrame, description: str) -> Figure:
    """Draw top-1 accuracy of the last epoch against the feature dimension, mean and standard deviation over seeds, one line per head.

    Args:
        rows: of one comparison.
        description: its title.
    """
    summary = tables.summarise(rows[(rows["selection"] == "last") | (rows["status"] != "done")], "top1")
    heads, dims = list(dict.fromkeys(rows["head_label"])), sorted(set(summary["feature_dim"]))
    looks = styles(heads)
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(7.2, 4.6), layout="constrained")
        axis = figure.subplots()
        for place, head in enumerate(heads):
            own = summary[summary["head_label"] == head].sort_values("feature_dim")
            colour, marker = looks[head]
            spread = 100 * own["std"].fillna(0)
            # Heads stand 1.5 % apart, less where they are many, so that equal means and their error bars stay visible.
            dodge = 1.015 ** ((place - (len(heads) - 1) / 2) * min(1, 10 / len(heads)))
            axis.errorbar(own["feature_dim"] * dodge, 100 * own["mean"], spread, color=colour, marker=marker, capsize=3, linewidth=1.8, label=head)
        axis.set_xscale("log")
        axis.set_xlim(0.8 * min(dims), 1.25 * max(dims))
        axis.xaxis.set_major_locator(FixedLocator(dims))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set(xlabel="feature dimension d (log scale)", ylabel="top-1 test accuracy (%)")
        title = textwrap.fill(f"{description}; last epoch, {tables.over_seeds(summary)}", 90)
        axis.set_title(title, fontsize=9)
        if len(heads) > CROWD:
            figure.set_size_inches(11, 4.6 + 0.1 * (len(heads) - CROWD))
            figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
        else:
            axis.legend(title="head", frameon=True)
    return figure


def reliability(bins: calibration.Bins, colour: str, title: str) -> Figure:
    """Draw a reliability diagram: accuracy by confidence as bars, the gap to the diagonal, and the confidence histogram below.

    Args:
        bins: of a head's predictions.
        colour: of the head.
        title: of the figure.
    """
    width = np.diff(bins.edges)
    middle = bins.edges[:-1] + width / 2
    used = bins.counts > 0
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(4.8, 6.0), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        accuracy, confidence = bins.accuracy[used], bins.confidence[used]
        above.bar(middle[used], accuracy, width[used], color=colour, edgecolor="white", label="accuracy")
        above.bar(
            middle[used],
            np.abs(confidence - accuracy),
            0.55 * width[used],
            bottom=np.minimum(accuracy, confidence),
            color="none",
            edgecolor="0.15",
            hatch="////",
            linewidth=0.8,
            label="gap to mean confidence",
        )
        above.plot([0, 1], [0, 1], color="0.3", linestyle="--", linewidth=1.2, label="perfectly calibrated")
        above.set(ylim=(0, 1.02), ylabel="accuracy")
        above.set_title(title, fontsize=10)
        above.legend(loc="upper left", fontsize=9, frameon=True, framealpha=0.9)
        above.text(0.97, 0.04, f"ECE {100 * bins.ece():.2f} %", transform=above.transAxes, ha="right", bbox={"facecolor": "white", "edgecolor": "0.7"})
        below.bar(middle, bins.counts / bins.counts.sum(), width, color=colour, edgecolor="white")
        below.set(xlim=(0, 1), xlabel="confidence", ylabel="fraction")
    return figure


def reliability_of(rows: pd.DataFrame, out: Path) -> tuple[dict[str, Figure], list[str]]:
    """Draw one reliability diagram per head: the last epoch at the largest dimension at which it was trained, all seeds pooled.

    Each seed's logits are divided by its own temperature; without a validation part they keep the head's native scale.

    Args:
        rows: of one comparison.
        out: folder of the runs, where the stored predictions are.

    Returns:
        The diagrams by head, and a line for each file of predictions that is damaged and was left out.
    """
    last = rows[rows["selection"] == "last"]
    looks = styles(list(dict.fromkeys(rows["head_label"])))
    figures: dict[str, Figure] = {}
    damaged: list[str] = []
    for head in (label for label in looks if (last["head_label"] == label).any()):
        own = last[last["head_label"] == head]
        dim = own["feature_dim"].max()
        probabilities, labels = [], []
        for _, row in own[own["feature_dim"] == dim].iterrows():
            try:
                stored = store.read_predictions(store.cell_folder(out, row["cell_id"]))
            except store.DamagedError as damage:
                damaged.append(f"{damage} and left out of the diagram of {head}; remove the cell's result.json to train it again")
                continue
            temperature = 1.0 if np.isnan(row["temperature"]) else row["temperature"]
            probabilities.append(calibration.probabilities(stored["last_test_logits"].astype(np.float64), temperature))
            labels.append(stored["test_labels"])
        if not labels:
            continue
        view = own["calibration_view"].iloc[0]
        bins = calibration.top_label(np.concatenate(probabilities), np.concatenate(labels))
        title = f"{head} on {own['dataset'].iloc[0]}, d = {dim}, {view} view\nlast epoch, {f'{len(labels)} seeds pooled' if len(labels) > 1 else 'one seed'}"
        figures[head] = reliability(bins, looks[head][0], title)
    return figures, damaged


def encode(figure: Figure, form: str) -> bytes:
    """Return a figure as ``png`` or ``svg``, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "headbench", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=form, dpi=150, metadata={"Date": None} if form == "svg" else {"Software": None})
    return buffer.getvalue()
