"""Reliability diagrams: accuracy by confidence, all heads side by side."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from headbench.results.compared import Comparison
from headbench.results.figures import pooled
from headbench.results.figures.base import Drawn, canvas, heads_of, legend, names_of, short, styles
from headbench.results.figures.pooled import Pooled
from headbench.results.numbers.calibration import Floats
from headbench.results.numbers.ece import Z

PLACE = 5
# Diagrams beside each other.
ACROSS = 5
# The least share of images that the axis of shares shows.
LEAST = 1e-4


def compared(comparison: Comparison) -> dict[str, Drawn]:
    """Return the figure of a comparison whose predictions are known."""
    found = pooled.of(comparison)
    return {"reliability": side_by_side(found, comparison)} if found else {}


def side_by_side(found: dict[str, Pooled], comparison: Comparison) -> Drawn:
    """Draw the diagrams of all heads beside each other, on the same axes.

    Args:
        found: of :func:`headbench.results.figures.pooled.pool`, not empty.
        comparison: whose heads they are.
    """
    looks, names = styles(heads_of(comparison.rows)), names_of(comparison.rows)
    columns = min(ACROSS, len(found))
    lines = -(-len(found) // columns)
    with canvas(0.15 + 0.8 * lines, wide=len(found) > 1) as figure:
        axes = figure.subplots(
            2 * lines, columns, sharex=True, sharey="row", height_ratios=[3, 1] * lines, squeeze=False
        )
        for place, (head, own) in enumerate(found.items()):
            line, column = divmod(place, columns)
            above, below = axes[2 * line, column], axes[2 * line + 1, column]
            _draw(above, below, own, looks[head].colour)
            above.set_title(
                f"{textwrap.fill(f'{short(names[head], 40)}, d = {own.dim}', 20)}\n{own.ece}", fontsize="small"
            )
            below.set_xlabel("confidence")
            below.tick_params(labelbottom=True)
            if column == 0:
                above.set_ylabel("accuracy")
                below.set_ylabel("images")
        for empty in axes.reshape(lines, 2, columns).transpose(0, 2, 1).reshape(-1, 2)[len(found) :].flat:
            empty.set_visible(False)
        legend(figure, *axes[0, 0].get_legend_handles_labels())
    views, seeds = {own.view for own in found.values()}, sorted({own.seeds for own in found.values()})
    pooling = f"{' to '.join(map(str, seeds[:1] + seeds[1:][-1:]))} seeds pooled" if seeds[-1] > 1 else "one seed"
    caption = (
        f"Accuracy of the test images of each confidence ({' / '.join(sorted(views))}), last epoch, {pooling}; below, "
        "the share of images that have it, on a logarithmic scale. The whiskers are the 95 % interval of one seed's "
        f"images; bars of few images are pale. {comparison.description}."
    )
    return Drawn(figure, caption)


def wilson(accuracy: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return the 95 % interval of accuracies (k,) of n (k,) images (Wilson, 1927)."""
    middle, square = accuracy + Z**2 / (2 * n), accuracy * (1 - accuracy) / n + Z**2 / (4 * n**2)
    low, high = ((middle + sign * Z * np.sqrt(square)) / (1 + Z**2 / n) for sign in (-1, 1))
    return low, high


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
        color="0.85",
        edgecolor="0.15",
        linewidth=0.5,
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
        elinewidth=0.7,
        capsize=1,
        label="95 % interval of a seed's images",
    )
    above.plot(*own.curve, color="0.15", linewidth=1, label="smoothed (relplot)")
    above.plot([0, 1], [0, 1], color="0.3", linestyle="--", linewidth=0.8, label="perfectly calibrated")
    above.set(xlim=(0, 1), ylim=(0, 1.02))
    below.bar(middle, bins.counts / bins.counts.sum(), width, color=colour, edgecolor="white")
    below.set(xlim=(0, 1), yscale="log", ylim=(LEAST, 1), xticks=[0, 0.5, 1], yticks=[0.001, 0.1])
    below.yaxis.set_minor_locator(NullLocator())
    below.set_xticklabels(["0", "0.5", "1"])
    below.set_yticklabels(["0.1 %", "10 %"])
