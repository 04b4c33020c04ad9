"""Which classes are taken for which: confusion matrices, or the most confused pairs where there are many classes."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from headbench.results import store
from headbench.results.compared import Comparison
from headbench.results.figures import pooled
from headbench.results.figures.base import Drawn, canvas, heads_of, legend, lines, names_of, short, small, styles
from headbench.results.numbers.calibration import Floats, Ints

PLACE = 7
# More classes have no matrix that can be read.
MATRIX = 12
# Matrices beside each other, pairs of classes below each other, and letters of a class's name.
ACROSS, PAIRS, LETTERS = 3, 12, 16
# Of a matrix, percentages from which on a number is printed.
PRINTED = 0.5
# The shade, of 1, beyond which white is easier to read than black.
DARK = 0.7


def compared(comparison: Comparison) -> dict[str, Drawn | str]:
    """Return the figure of a comparison whose predictions are known, each head at its largest dimension."""
    found = pooled.of(comparison)
    shares = {head: share for head, own in found.items() if not np.isnan(share := confused(own.confused)).all()}
    if not shares:
        return {"confusion": "No figure of confused classes: there are no stored predictions."}
    classes = _class_names(comparison)
    drawn = matrices if len(classes) <= MATRIX else pairs
    return {"confusion": drawn(shares, classes, comparison.rows, comparison.description)}


def confused(counts: Ints) -> Floats:
    """Return the share of each class's images (rows) that is taken for another class, in percent; NaN for a class
    without images.

    Args:
        counts: (C, C) of images.
    """
    images = counts.sum(axis=1, keepdims=True)
    return 100 * np.where(images > 0, counts / np.maximum(images, 1), np.nan)


def matrices(shares: dict[str, Floats], classes: list[str], rows: pd.DataFrame, description: str) -> Drawn:
    """Draw a matrix per head: the shares of a class's images, those of its own class on the diagonal, which has no
    colour.

    Args:
        shares: (C, C) of :func:`confused`, by head.
        classes: names.
        rows: of the comparison.
        description: of it.
    """
    names, columns = names_of(rows), min(ACROSS, len(shares))
    down = -(-len(shares) // columns)
    errors = {head: np.where(np.eye(len(classes), dtype=bool), 0, own) for head, own in shares.items()}
    most = max(1.0, *(float(np.nanmax(own)) for own in errors.values()))
    ticks = [short(name, LETTERS) for name in classes]
    with canvas(0.1 + 2.05 * down / columns, wide=columns > 1, grid=False) as figure:
        axes = figure.subplots(down, columns, squeeze=False)
        for axis in axes.flat[len(shares) :]:
            axis.set_axis_off()
        cell = 72 * 0.75 * figure.get_figwidth() / columns / len(classes)
        for place, (axis, (head, own)) in enumerate(zip(axes.flat, shares.items(), strict=False)):
            shades = np.sqrt(errors[head] / most)
            axis.imshow(shades, cmap="Oranges", vmin=0, vmax=1)
            _numbers(axis, own, shades, 0.42 * cell)
            axis.set(xticks=range(len(classes)), yticks=range(len(classes)), title=short(names[head]))
            axis.set_xticklabels(ticks, rotation=90)
            axis.set_yticklabels(ticks if place % columns == 0 else [])
            axis.tick_params(labelsize=min(small(), 0.6 * cell), length=0)
            axis.set(xlabel="predicted class", ylabel="true class" if place % columns == 0 else "")
    caption = (
        "Share of each class's test images (rows, in %) by the class they are taken for (columns), last epoch, all "
        f"seeds together, each head at its largest d; colour: errors. {description}."
    )
    return Drawn(figure, caption)


def _numbers(axis: Axes, shares: Floats, shades: Floats, size: float) -> None:
    """Print shares in percent, on dark shades in white."""
    for true, predicted in np.argwhere(shares >= PRINTED):
        colour = "white" if shades[true, predicted] > DARK else "0.15"
        text = f"{shares[true, predicted]:.0f}"
        number = axis.text(predicted, true, text, ha="center", va="center", fontsize=size, color=colour)
        # It stands within the axes, and measuring it takes longer than drawing it.
        number.set_in_layout(False)


def most_confused(shares: dict[str, Floats], count: int) -> list[tuple[int, int]]:
    """Return the ordered pairs of different classes that are confused most on average over heads, the worst first."""
    mean = np.nan_to_num(np.mean(list(shares.values()), axis=0))
    np.fill_diagonal(mean, 0)
    order = np.argsort(-mean, axis=None, kind="stable")[:count]
    found = [(int(place) // len(mean), int(place) % len(mean)) for place in order]
    return [pair for pair in found if mean[pair] > 0]


def pairs(shares: dict[str, Floats], classes: list[str], rows: pd.DataFrame, description: str) -> Drawn:
    """Draw the pairs of classes that are confused most on average over heads, a marker per head.

    Arguments as for :func:`matrices`.
    """
    looks, names, shown = styles(heads_of(rows)), names_of(rows), most_confused(shares, PAIRS)
    with canvas(0.2 + lines(1.3 * max(1, len(shown)))) as figure:
        axis = figure.subplots()
        heights = -np.arange(len(shown))
        for head, own in shares.items():
            values = [own[pair] for pair in shown]
            axis.plot(values, heights, looks[head].marker, color=looks[head].colour, label=names[head], alpha=0.8)
        labels = [" \N{RIGHTWARDS ARROW} ".join(short(classes[number], LETTERS) for number in pair) for pair in shown]
        axis.set(yticks=heights, yticklabels=labels, xlabel="of the true class's images (%)", xlim=(0, None))
        legend(figure, *axis.get_legend_handles_labels())
    caption = (
        f"The {len(shown)} pairs of classes that are confused most on average over heads, true \N{RIGHTWARDS ARROW} "
        "predicted, of the test images, last epoch, all seeds together, each head at its largest d. "
        f"{description}."
    )
    return Drawn(figure, caption)


def _class_names(comparison: Comparison) -> list[str]:
    """Return the names of the classes, as the first cell that can be read has them."""
    for cell_id in comparison.last["cell_id"]:
        result = store.read_result(store.cell_folder(comparison.out, cell_id))
        if result is not None:
            return [str(name) for name in result["class_names"]]
    return []
