"""Pictures of unit vectors on the circle and on the sphere."""

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D

from headbench.core import escape
from headbench.results import store
from headbench.results.figures.base import PALETTE

# Numbers of two vectors.
Pairs = list[tuple[int, int]]
# Nearest pairs that are named.
MOST = 4
# Vectors that differ by less in every coordinate are one.
NEAR = 1e-3


def prototypes(sets: dict[str, tuple[np.ndarray, Pairs]]) -> Figure:
    """Draw sets of unit vectors (C, 2) or (C, 3) side by side, one panel each, with their numbers at the points.

    Args:
        sets: by the title above each, the vectors and pairs of them, the nearest, which lines join.
    """
    columns = min(len(sets), 3)
    rows = -(-len(sets) // columns)
    with sns.axes_style("white"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(4.2 * columns, 4.8 * rows), layout="constrained")
        for place, (title, (points, pairs)) in enumerate(sets.items(), start=1):
            flat = points.shape[1] == 2
            axis = figure.add_subplot(rows, columns, place, projection=None if flat else "3d")
            (_disc if flat else _ball)(axis, points, pairs)
            axis.set_title(f"{title}\n{_named(pairs)}", fontsize=10)
    return figure


def _named(pairs: Pairs) -> str:
    """Return the nearest pairs in words: ``nearest: 0-1, 2-5 and 3 more``."""
    named = ", ".join(f"{first}-{second}" for first, second in pairs[:MOST])
    return f"nearest: {named}" + (f" and {len(pairs) - MOST} more" if len(pairs) > MOST else "")


def _labels(points: np.ndarray) -> dict[str, np.ndarray]:
    """Return each different point by the numbers of those that lie there."""
    labels, left = dict[str, np.ndarray](), list(range(len(points)))
    while left:
        here = [number for number in left if np.allclose(points[number], points[left[0]], atol=1e-2)]
        labels[",".join(map(str, here))] = points[left[0]]
        left = [number for number in left if number not in here]
    return labels


def _disc(axis: Axes, points: np.ndarray, pairs: Pairs) -> None:
    """Draw points on the unit circle."""
    circle(axis)
    for point in points:
        axis.plot(*zip((0, 0), point, strict=True), color="0.8", linewidth=1)
    for pair in pairs:
        axis.plot(*points[list(pair)].T, color=PALETTE[3], linewidth=2)
    axis.scatter(points[:, 0], points[:, 1], s=40, color=PALETTE[0], zorder=3)
    for label, point in _labels(points).items():
        side = "center" if abs(point[0]) < 0.3 else "left" if point[0] > 0 else "right"
        axis.text(1.1 * point[0], 1.1 * point[1], label, ha=side, va="center", fontsize=9)


def circle(axis: Axes) -> None:
    """Prepare axes for unit vectors in the plane: the unit circle, equal scales, no frame."""
    angles = np.linspace(0, 2 * np.pi, 200)
    axis.plot(np.cos(angles), np.sin(angles), color="0.8", linewidth=1)
    axis.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    axis.set_axis_off()


def toy(rows: pd.DataFrame, out: Path) -> Figure:
    """Draw the test features of cells at d = 2 on the circle, a panel each, with the class vectors at the rim.

    The heads' scores are cosines with the class vectors, so that the stored logits give the direction of a feature
    back. Where a head has the vectors of the panel before in another order, arrows show which classes have moved.

    Args:
        rows: of the selection ``last``, one per cell.
        out: folder of the runs.
    """
    with sns.axes_style("white"), sns.plotting_context("notebook"):
        figure = Figure(figsize=(4.6 * len(rows), 5.6), layout="constrained")
        before: np.ndarray | None = None
        for axis, (_, row) in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows.iterrows(), strict=True):
            folder = store.cell_folder(out, row["cell_id"])
            vectors = store.read_arrays(folder, "geometry.npz")["prototypes"]
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            circle(axis)
            _features(axis, folder, vectors)
            told = "lines: class vectors"
            if before is not None and same_set(vectors, before):
                moved = np.flatnonzero(np.abs(vectors - before).max(axis=1) > NEAR)
                for c in map(int, moved):
                    _arrow(axis, before[c], vectors[c], _colour(c))
                told = f"{len(moved)} of {len(vectors)} classes have moved, by the arrows"
            axis.set_title(f"{row['head_label']}: {100 * row['top1']:.1f} % on test\n{told}", fontsize=10)
            before = vectors
    return figure


def same_set(vectors: np.ndarray, others: np.ndarray) -> bool:
    """Say whether two sets of vectors (C, d) are the same ones, in whatever order."""
    apart = np.abs(vectors[:, None] - others[None]).max(axis=2)
    return vectors.shape == others.shape and bool((apart.min(axis=1) < NEAR).all() and (apart.min(axis=0) < NEAR).all())


def _colour(c: int) -> str:
    return str(PALETTE[c % len(PALETTE)])


def _features(axis: Axes, folder: Path, vectors: np.ndarray) -> None:
    """Draw a cell's test features and class vectors (C, 2), each class by its name and in its colour."""
    stored, result = store.read_predictions(folder), store.read_result(folder)
    names = result["class_names"] if result else range(len(vectors))
    angles = np.arctan2(*directions(stored["last_test_logits"], vectors).T[::-1])
    # Features of one class would cover each other, so each is drawn at a radius of its own.
    radius = 0.7 + 0.22 * np.random.default_rng(0).random(len(angles))
    for c, (name, vector) in enumerate(zip(names, vectors, strict=True)):
        own = stored["test_labels"] == c
        axis.plot(*np.stack([0.65 * vector, 1.04 * vector]).T, color=_colour(c), linewidth=2)
        axis.scatter((radius * np.cos(angles))[own], (radius * np.sin(angles))[own], s=8, color=_colour(c), alpha=0.7)
        axis.text(
            1.13 * vector[0],
            1.13 * vector[1],
            escape.figure(str(name)),
            color=_colour(c),
            ha="center",
            va="center",
            weight="bold",
        )


def _arrow(axis: Axes, start: np.ndarray, end: np.ndarray, colour: str) -> None:
    """Draw an arrow between two directions, within the circle."""
    axis.annotate(
        "",
        xy=tuple(0.62 * end),
        xytext=tuple(0.62 * start),
        arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.5, "connectionstyle": "arc3,rad=0.15"},
    )


def directions(logits: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return unit features (N, d) from logits (N, C) that are a multiple of their cosines with the vectors (C, d),
    which span R^d.
    """
    features = logits @ np.linalg.pinv(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
    unit: np.ndarray = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit


def _ball(axis: Axes3D, points: np.ndarray, pairs: Pairs) -> None:
    """Draw points on the unit sphere; what is on the far side is pale."""
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, np.pi, 13))
    axis.plot_wireframe(
        np.cos(turn) * np.sin(rise), np.sin(turn) * np.sin(rise), np.cos(rise), color="0.85", linewidth=0.5
    )
    azimuth, elevation = np.radians(axis.azim), np.radians(axis.elev)
    eye = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    near = points @ eye > 0
    for pair in pairs:
        axis.plot(*points[list(pair)].T, color=PALETTE[3], linewidth=2, alpha=0.9 if near[list(pair)].all() else 0.25)
    axis.scatter(*points[near].T, s=30, color=PALETTE[0], depthshade=False)
    axis.scatter(*points[~near].T, s=18, color=PALETTE[0], alpha=0.3, depthshade=False)
    for label, point in _labels(points).items():
        pale = {} if point @ eye > 0 else {"alpha": 0.4}
        axis.text(*(1.12 * point + [0, 0, 0.1]), label, ha="center", va="center", fontsize=9, **pale)
    axis.set_box_aspect((1, 1, 1), zoom=1.4)
    axis.set_axis_off()
