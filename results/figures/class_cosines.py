"""The class means of trained features and the class vectors against a simplex, from the cells' ``geometry.npz``."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from headbench.core.errors import DamagedError
from headbench.results import store
from headbench.results.compared import Comparison
from headbench.results.figures.base import Drawn, canvas, names_of, short
from headbench.results.numbers.collapse import cosines
from headbench.results.numbers.statistics import Floats
from headbench.results.tables.base import at_largest_dim

PLACE = 8
# Heads beside each other.
ACROSS = 5
PANELS = ("class means", "and vectors")
# The scale is at least so wide.
LEAST = 0.02


def compared(comparison: Comparison) -> dict[str, Drawn]:
    """Return the figure of the heads of a comparison that were trained here."""
    found, damaged = of(comparison.rows, comparison.out)
    comparison.lines.extend(damaged)
    return {"collapse": figure(found, names_of(comparison.rows), comparison.description)} if found else {}


def of(rows: pd.DataFrame, out: Path) -> tuple[dict[str, dict[str, Floats]], list[str]]:
    """Return the deviations of each head, for the last epoch of the first seed at the largest dimension, and a line for
    each damaged file.

    Args:
        rows: of one comparison.
        out: folder of the runs.
    """
    found, damaged = dict[str, dict[str, Floats]](), list[str]()
    for head, own in at_largest_dim(rows[rows["imported"].isna()]).groupby("head_label", sort=False):
        first = own.sort_values("seed", kind="stable").iloc[0]
        try:
            geometry = store.read_arrays(store.cell_folder(out, first["cell_id"]), "geometry.npz")
        except DamagedError as damage:
            damaged.append(f"{damage} and left out of the geometry; remove the cell's result.json to train it again")
            continue
        found[str(head)] = deviations(geometry)
    return found, damaged


def deviations(geometry: dict[str, Floats]) -> dict[str, Floats]:
    """Return by panel how far the cosines of centred class means with each other, and with the centred class vectors
    where the head has any, are from those of a simplex: 1 and -1/(C-1).
    """
    seen = ~np.isnan(geometry["class_means"]).any(axis=1)
    means = geometry["class_means"][seen] - geometry["class_means"][seen].mean(axis=0)
    classes = len(means)
    simplex = np.where(np.eye(classes) == 1, 1, -1 / max(1, classes - 1))
    found = {PANELS[0]: cosines(means, means) - simplex}
    if len(geometry["prototypes"]):
        vectors = geometry["prototypes"][seen]
        found[PANELS[1]] = cosines(means, vectors - vectors.mean(axis=0)) - simplex
    return found


def figure(found: dict[str, dict[str, Floats]], names: dict[str, str], description: str) -> Drawn:
    """Draw the deviations of all heads on one scale, two panels a head, one above the other.

    Args:
        found: of :func:`of`, not empty.
        names: what the figure calls the heads, by label.
        description: of the comparison.
    """
    panels = [name for name in PANELS if any(name in own for own in found.values())]
    columns = min(ACROSS, len(found))
    lines = -(-len(found) // columns)
    # A class without images, or the only one, has no cosine.
    known = {head: {name: np.nan_to_num(values) for name, values in own.items()} for head, own in found.items()}
    scale = max(LEAST, *(float(np.abs(values).max()) for own in known.values() for values in own.values()))
    with canvas(0.12 + 0.42 * lines * len(panels), wide=True, grid=False) as drawn:
        axes = drawn.subplots(lines * len(panels), columns, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for place, (head, own) in enumerate(known.items()):
            line, column = divmod(place, columns)
            for row, name in enumerate(name for name in panels if name in own):
                axis, values = axes[line * len(panels) + row, column], own[name]
                axis.set_axis_on()
                image = axis.imshow(values, cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest")
                typical = float(np.sqrt(np.mean(values**2)))
                axis.set(xticks=[], yticks=[])
                axis.set_xlabel(f"{typical:.3f}", fontsize="small")
                if column == 0:
                    axis.set_ylabel(name)
                if row == 0:
                    axis.set_title(textwrap.fill(short(names[head], 36), 18), fontsize="small")
        drawn.colorbar(image, ax=axes, label="cosine less\nthat of a simplex", shrink=0.6, aspect=30)
    caption = (
        "How far the cosines of class means with each other, and below with the class vectors, are from those of a "
        "simplex (1 on the diagonal, -1/(C-1) elsewhere), classes in their order; the number is the root mean square. "
        f"Last epoch, first seed, each head at its largest d. {description}."
    )
    return Drawn(drawn, caption)
