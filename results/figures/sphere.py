"""Pictures of unit vectors on the circle and on the sphere."""

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from headbench.results import store
from headbench.results.figures.base import MARKERS, PALETTE


def prototypes(points_by_title: dict[str, np.ndarray]) -> Figure:
    """Draw sets of unit vectors (C, 2) or (C, 3) side by side, one panel each.

    Args:
        points_by_title: the sets; a title stands above each.
    """
    count = len(points_by_title)
    columns = min(count, 3)
    rows = -(-count // columns)
    with sns.axes_style("white"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(4.2 * columns, 4.6 * rows), layout="constrained")
        for place, (title, points) in enumerate(points_by_title.items(), start=1):
            if points.shape[1] == 2:
                axis = figure.add_subplot(rows, columns, place)
                circle(axis)
                axis.plot(
                    np.stack([np.zeros(len(points)), points[:, 0]]),
                    np.stack([np.zeros(len(points)), points[:, 1]]),
                    color="0.6",
                    linewidth=1,
                )
                axis.scatter(points[:, 0], points[:, 1], s=40, color="C0", zorder=3)
            else:
                axis = figure.add_subplot(rows, columns, place, projection="3d")
                _ball(axis, points)
            axis.set_title(title, fontsize=10)
    return figure


def circle(axis: Axes) -> None:
    """Prepare axes for unit vectors in the plane: the unit circle, equal scales, no frame."""
    angles = np.linspace(0, 2 * np.pi, 200)
    axis.plot(np.cos(angles), np.sin(angles), color="0.8", linewidth=1)
    axis.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    axis.set_axis_off()


def toy(rows: pd.DataFrame, out: Path) -> Figure:
    """Draw the test features of cells at d = 2 on the circle, a panel each, with the class vectors as lines.

    The heads' scores are cosines with the class vectors, so that the stored logits give the direction of a feature
    back.

    Args:
        rows: of the selection ``last``, one per cell.
        out: folder of the runs.
    """
    with sns.axes_style("white"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(4.2 * len(rows), 4.6), layout="constrained")
        for axis, (_, row) in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows.iterrows(), strict=True):
            folder = store.cell_folder(out, row["cell_id"])
            stored = store.read_predictions(folder)
            vectors = store.read_arrays(folder, "geometry.npz")["prototypes"]
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            angles = np.arctan2(*directions(stored["last_test_logits"], vectors).T[::-1])
            circle(axis)
            # Features of one class would cover each other, so each is drawn at a radius of its own.
            radius = 0.75 + 0.2 * np.random.default_rng(0).random(len(angles))
            for c, vector in enumerate(vectors):
                own = stored["test_labels"] == c
                axis.plot([0, 1.12 * vector[0]], [0, 1.12 * vector[1]], color=PALETTE[c], linewidth=2)
                axis.scatter(
                    (radius * np.cos(angles))[own],
                    (radius * np.sin(angles))[own],
                    s=10,
                    color=PALETTE[c],
                    marker=MARKERS[c],
                    label=f"class {c + 1}",
                )
            axis.set_title(f"{row['head_label']}\n{100 * row['top1']:.1f} % on test", fontsize=10)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=len(vectors), markerscale=2)
    return figure


def directions(logits: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return unit features (N, d) from logits (N, C) that are a multiple of their cosines with the vectors (C, d),
    which span R^d.
    """
    features = logits @ np.linalg.pinv(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
    unit: np.ndarray = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit


def _ball(axis: Axes3D, points: np.ndarray) -> None:
    """Draw points on the unit sphere; those on the far side are pale."""
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
    axis.plot_wireframe(
        np.cos(turn) * np.sin(rise), np.sin(turn) * np.sin(rise), np.cos(rise), color="0.85", linewidth=0.5
    )
    azimuth, elevation = np.radians(axis.azim), np.radians(axis.elev)
    eye = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    near = points @ eye > 0
    axis.scatter(*points[near].T, s=30, color="C0", depthshade=False)
    axis.scatter(*points[~near].T, s=18, color="C0", alpha=0.3, depthshade=False)
    axis.set_box_aspect((1, 1, 1), zoom=1.5)
    axis.set_axis_off()
