"""Figures of the class means of trained features, from the cells' ``geometry.npz``: their cosines with each other and
with the class vectors.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from headbench.core.errors import DamagedError
from headbench.results import store
from headbench.results.numbers.collapse import cosines
from headbench.results.numbers.statistics import Floats
from headbench.results.tables.base import at_largest_dim


def of(rows: pd.DataFrame, out: Path) -> tuple[dict[str, Figure], list[str]]:
    """Draw one figure per head, for the last epoch of the first seed at the largest dimension.

    Return also a line for each damaged file.

    Args:
        rows: of one comparison.
        out: folder of the runs.
    """
    figures, damaged = dict[str, Figure](), list[str]()
    trained = rows[rows["imported"].isna()]
    for head, own in at_largest_dim(trained).groupby("head_label", sort=False):
        first = own.sort_values("seed", kind="stable").iloc[0]
        try:
            geometry = store.read_arrays(store.cell_folder(out, first["cell_id"]), "geometry.npz")
        except DamagedError as damage:
            damaged.append(f"{damage} and left out of the geometry; remove the cell's result.json to train it again")
            continue
        figures[str(head)] = figure(geometry, f"{head}, d = {first['feature_dim']}")
    return figures, damaged


def figure(geometry: dict[str, Floats], title: str) -> Figure:
    """Draw the cosines of centred class means with each other, and with the centred class vectors where the head has
    any.
    """
    seen = ~np.isnan(geometry["class_means"]).any(axis=1)
    means = geometry["class_means"][seen] - geometry["class_means"][seen].mean(axis=0)
    panels = {"class means": cosines(means, means)}
    if len(geometry["prototypes"]):
        vectors = geometry["prototypes"][seen]
        panels["class means and class vectors"] = cosines(means, vectors - vectors.mean(axis=0))
    with sns.axes_style("white"), sns.plotting_context("notebook"):
        # Fixed margins for speed, as in the reliability diagrams.
        width = 1.4 + 4 * len(panels)
        drawn = Figure(figsize=(width, 4.5))
        drawn.subplots_adjust(left=0.75 / width, right=1 - 1.2 / width, bottom=0.12, top=0.86, wspace=0.22)
        axes = np.atleast_1d(drawn.subplots(1, len(panels)))
        for axis, (name, values) in zip(axes, panels.items(), strict=True):
            image = axis.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
            axis.set_title(name, fontsize=10)
            axis.set(xlabel="class", ylabel="class")
        drawn.colorbar(image, cax=drawn.add_axes((1 - 1.05 / width, 0.18, 0.2 / width, 0.62)), label="cosine")
        drawn.suptitle(title, fontsize=10)
    return drawn
