"""Reliability diagrams: accuracy by confidence, one per head and all heads side by side."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from headbench.core.errors import DamagedError
from headbench.results import store
from headbench.results.figures.base import heads_of, styles
from headbench.results.numbers import calibration
from headbench.results.numbers.calibration import Floats
from headbench.results.numbers.ece import Z
from headbench.results.tables.base import ENOUGH, at_largest_dim, primary, printed, summarise

# Diagrams beside each other.
ACROSS = 5
# The smoothed accuracy is not drawn where fewer images are near.
NEAR = 5


@dataclass(frozen=True)
class Pooled:
    """The predictions of one head that a diagram shows.

    Attributes:
        bins: of all seeds' test images together.
        curve: (2, points) confidence and smoothed accuracy, NaN where too few images are near.
        dim: the feature dimension.
        view: by which scores were scaled, in words.
        seeds: how many.
        ece: the number of the calibration table, with its floor.
    """

    bins: calibration.Bins
    curve: Floats
    dim: int
    view: str
    seeds: int
    ece: str


def pool(rows: pd.DataFrame, out: Path) -> tuple[dict[str, Pooled], list[str]]:
    """Return the bins of each head: the last epoch at the largest dimension at which it was trained, all seeds pooled.

    Each seed's logits are divided by its own temperature; without a validation part they keep the head's native scale.

    Args:
        rows: of one comparison.
        out: folder of the runs, where the stored predictions are.

    Returns:
        The bins by head, and a line for each file of predictions that is damaged and was left out.
    """
    pooled: dict[str, Pooled] = {}
    damaged: list[str] = []
    view = primary(rows)
    for head, own in at_largest_dim(rows).groupby("head_label", sort=False):
        confidences, correct = [], []
        for _, row in own.iterrows():
            try:
                stored = store.read_predictions(
                    store.cell_folder(out, row["cell_id"]), "last_test_logits", "test_labels"
                )
            except DamagedError as damage:
                damaged.append(
                    f"{damage} and left out of the diagram of {head}; remove the cell's result.json to train it again"
                )
                continue
            temperature = 1.0 if np.isnan(row["temperature"]) else row["temperature"]
            shares = calibration.probabilities(stored["last_test_logits"].astype(np.float64), temperature)
            confidences.append(shares.max(axis=1))
            correct.append(shares.argmax(axis=1) == stored["test_labels"])
        if sum(map(len, correct)):
            first, seeds, confidence, right = (
                own.iloc[0],
                len(correct),
                np.concatenate(confidences),
                np.concatenate(correct),
            )
            bins = calibration.reliability(confidence, right, np.linspace(0, 1, int(first["calibration_bins"]) + 1))
            number, floor = (summarise(own, metric).to_dict("records")[0] for metric in (f"ece_{view}", "ece_floor"))
            ece = f"ECE {printed(number, number['n'], both=True)} %\nfloor {printed(floor, floor['n'])} %"
            few = f", T of {first['n_val']} images" if view == "temperature" and first["n_val"] < ENOUGH else ""
            pooled[str(head)] = Pooled(
                bins, _smoothed(confidence, right, seeds), first["feature_dim"], f"{view} view{few}", seeds, ece
            )
    return pooled, damaged


def _smoothed(confidence: Floats, right: NDArray[np.bool_], seeds: int) -> Floats:
    """Return confidence and smoothed accuracy (2, points) by relplot, at the bandwidth of the smooth ECE.

    NaN where a seed has few images within it.
    """
    import relplot

    found = relplot.prepare_rel_diagram(confidence, right, plot_confidence_band=False, report_CE_std=False)
    near = found["density"] * found["sigma"] * np.sqrt(2 * np.pi) * len(right) / seeds
    return np.stack([found["mesh"], np.where(near >= NEAR, found["mu"], np.nan)])


def wilson(accuracy: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return the 95 % interval of accuracies (k,) of n (k,) images (Wilson, 1927)."""
    middle, square = accuracy + Z**2 / (2 * n), accuracy * (1 - accuracy) / n + Z**2 / (4 * n**2)
    low, high = ((middle + sign * Z * np.sqrt(square)) / (1 + Z**2 / n) for sign in (-1, 1))
    return low, high


def diagrams(pooled: dict[str, Pooled], rows: pd.DataFrame) -> dict[str, Figure]:
    """Draw one diagram per head.

    Args:
        pooled: of :func:`pool`.
        rows: of the comparison.
    """
    looks, figures = styles(heads_of(rows)), dict[str, Figure]()
    for head, own in pooled.items():
        with sns.axes_style("whitegrid"), sns.plotting_context("notebook"):
            # Fixed margins: a layout engine would take a third of the time to draw, and a report may have hundreds of
            # these.
            figures[head] = Figure(figsize=(4.8, 6.0))
            figures[head].subplots_adjust(left=0.16, right=0.97, bottom=0.1, top=0.91, hspace=0.08)
            above, below = figures[head].subplots(2, 1, sharex=True, height_ratios=[3, 1])
            _draw(above, below, own, looks[head][0])
            title = textwrap.fill(f"{head} on {rows['dataset'].iloc[0]}, d = {own.dim}, {own.view}", 58)
            above.set_title(f"{title}\nlast epoch, {_seeds(own.seeds)}", fontsize=10)
            above.set_ylabel("accuracy")
            above.legend(loc="upper left", fontsize=8, frameon=True, framealpha=0.9)
            below.set(xlabel="confidence", ylabel="fraction")
    return figures


def side_by_side(pooled: dict[str, Pooled], rows: pd.DataFrame, description: str) -> Figure:
    """Draw the diagrams of all heads beside each other, on the same axes.

    Args:
        pooled: of :func:`pool`, not empty.
        rows: of the comparison.
        description: title.
    """
    looks = styles(heads_of(rows))
    columns, lines = min(ACROSS, len(pooled)), -(-len(pooled) // ACROSS)
    with sns.axes_style("whitegrid"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(2.6 * columns + 0.6, 4.1 * lines + 0.6), layout="constrained")
        axes = figure.subplots(
            2 * lines, columns, sharex=True, sharey="row", height_ratios=[3, 1] * lines, squeeze=False
        )
        for place, (head, own) in enumerate(pooled.items()):
            line, column = divmod(place, columns)
            above, below = axes[2 * line, column], axes[2 * line + 1, column]
            _draw(above, below, own, looks[head][0])
            above.set_title(f"{textwrap.fill(head, 24)}\nd = {own.dim}", fontsize=10)
            below.set_xlabel("confidence")
            below.tick_params(labelbottom=True)
            if column == 0:
                above.set_ylabel("accuracy")
                below.set_ylabel("fraction")
        for empty in axes.reshape(lines, 2, columns).transpose(0, 2, 1).reshape(-1, 2)[len(pooled) :].flat:
            empty.set_visible(False)
        views, seeds = {own.view for own in pooled.values()}, {own.seeds for own in pooled.values()}
        figure.suptitle(
            textwrap.fill(
                f"{description}; {' / '.join(sorted(views))}, last epoch, {_seeds(max(seeds))}", 36 * columns
            ),
            fontsize=9,
        )
    return figure


def _seeds(count: int) -> str:
    return f"{count} seeds pooled" if count > 1 else "one seed"


def _draw(above: Axes, below: Axes, own: Pooled, colour: str) -> None:
    """Draw accuracy by confidence as bars with their interval and the gap to the mean confidence, and the histogram of
    confidences on the axes below.

    The interval is that of as many images as one seed has, since all seeds answer the same ones; the wider it is, the
    paler is the bar.
    """
    bins, used = own.bins, own.bins.counts > 0
    width = np.diff(bins.edges)
    middle = bins.edges[:-1] + width / 2
    accuracy, confidence = bins.accuracy[used], bins.confidence[used]
    low, high = wilson(accuracy, bins.counts[used] / own.seeds)
    bars = above.bar(middle[used], accuracy, width[used], color=colour, edgecolor="white", label="accuracy")
    shown = above.bar(
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
    for bar, gap, certain in zip(bars, shown, 1 - (high - low), strict=True):
        bar.set_alpha(max(0.1, float(certain)))
        gap.set_alpha(max(0.1, float(certain)))
    errors = np.maximum(0, [accuracy - low, high - accuracy])
    above.errorbar(
        middle[used],
        accuracy,
        errors,
        fmt="none",
        ecolor="black",
        elinewidth=1.2,
        capsize=2,
        label="95 % interval of a seed's images",
    )
    above.plot(*own.curve, color="0.15", linewidth=1.6, label="smoothed (relplot)")
    above.plot([0, 1], [0, 1], color="0.3", linestyle="--", linewidth=1.2, label="perfectly calibrated")
    above.set(xlim=(0, 1), ylim=(0, 1.02))
    above.text(
        0.97,
        0.04,
        own.ece,
        transform=above.transAxes,
        ha="right",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "0.7", "alpha": 0.9},
    )
    below.bar(middle, bins.counts / bins.counts.sum(), width, color=colour, edgecolor="white")
    below.set_xlim(0, 1)
