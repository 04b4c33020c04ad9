"""Neural collapse of trained features, from the cells' ``geometry.npz``: how tight, how evenly spread and how well aligned with the class vectors classes are.

Source: Papyan, Han & Donoho, PNAS 2020, NC1 to NC4.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from results import store
from results.statistics import Floats
from results.tables import SELECTIONS, Table, by_dim_and_head, over_seeds

TITLES = {
    "nc1": "NC1 within/between",
    "nc2_angle": "NC2 angle",
    "nc2_length": "NC2 length",
    "nc3": "NC3 alignment",
    "nc4": "NC4 nearest mean",
}


def measure(geometry: dict[str, Floats]) -> dict[str, float]:
    """Return the collapse of one cell's training features.

    Args:
        geometry: ``class_means`` (C, d), ``within`` and ``between`` (d, d), ``prototypes`` (C, d) or (0, d), ``nearest_mean_agreement`` ().

    Returns:
        ``nc1``: tr(within between^+) / C, 0 at collapse. ``nc2_angle``: mean |cos + 1/(C-1)| over pairs of centred class means, 0 for a simplex.
        ``nc2_length``: coefficient of variation of their lengths, 0 where equal. ``nc3``: mean cosine of centred class means and centred class vectors, 1 where
        they agree, NaN without class vectors. ``nc4``: part of the images whose prediction is the nearest class mean, 1 at collapse.
    """
    seen = ~np.isnan(geometry["class_means"]).any(axis=1)
    means = geometry["class_means"][seen].astype(np.float64)
    count = len(means)
    if count < 2:
        return dict.fromkeys(TITLES, np.nan)
    centred = means - means.mean(axis=0)
    lengths = np.linalg.norm(centred, axis=1)
    cosines = _cosines(centred, centred)[~np.eye(count, dtype=bool)]
    vectors = geometry["prototypes"].astype(np.float64)
    alignment = np.nan
    if len(vectors):
        alignment = float(np.diag(_cosines(centred, vectors[seen] - vectors[seen].mean(axis=0))).mean())
    return {
        "nc1": float(np.trace(geometry["within"] @ np.linalg.pinv(geometry["between"], rcond=1e-6, hermitian=True)) / count),
        "nc2_angle": float(np.abs(cosines + 1 / (count - 1)).mean()),
        "nc2_length": float(lengths.std() / lengths.mean()),
        "nc3": alignment,
        "nc4": float(geometry.get("nearest_mean_agreement", np.nan)),
    }


def _cosines(a: Floats, b: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        cosines: Floats = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    return cosines


def read(rows: pd.DataFrame, out: Path) -> tuple[pd.DataFrame, dict[str, dict[str, Floats]], list[str]]:
    """Return the collapse of every cell of the selection ``last``, the geometry of each head's largest dimension and first seed, and a line per damaged file.

    Args:
        rows: of one comparison.
        out: folder of the runs.
    """
    measured: list[dict[str, Any]] = []
    shown: dict[str, dict[str, Floats]] = {}
    damaged: list[str] = []
    for _, row in rows[rows["selection"] == "last"].sort_values("seed", kind="stable").iterrows():
        try:
            geometry = store.read_arrays(store.cell_folder(out, row["cell_id"]), "geometry.npz")
        except store.DamagedError as damage:
            damaged.append(f"{damage} and left out of the geometry; remove the cell's result.json to train it again")
            continue
        measured.append({key: row[key] for key in ("head_label", "feature_dim", "seed", "selection", "status")} | measure(geometry))
        if row["head_label"] not in shown or geometry["within"].shape > shown[row["head_label"]]["within"].shape:
            shown[row["head_label"]] = geometry
    return pd.DataFrame(measured), shown, damaged


def table(measured: pd.DataFrame, description: str, name: str) -> Table:
    """Return the table of neural collapse: dimension and head down, NC1 to NC4 across, mean ± std over seeds.

    Args:
        measured: of :func:`read`, not empty.
        description: of the comparison.
        name: of the comparison, for the file.
    """
    cells, bold, tidy = by_dim_and_head(measured, "last", TITLES, {})
    caption = (
        f"Neural collapse of the training features, {SELECTIONS['last']}, {over_seeds(tidy)}: NC1 variation within over between classes, NC2 deviation of "
        "angles and of lengths of class means from a simplex (all 0 at collapse), NC3 cosine of class means and class vectors, NC4 part of the images whose "
        f"prediction is the nearest class mean (both 1 at collapse). {description}."
    )
    return Table(f"{name}-collapse", caption, cells, bold, tidy)


def figure(geometry: dict[str, Floats], title: str) -> Figure:
    """Draw the cosines of centred class means with each other, and with the centred class vectors where the head has any."""
    seen = ~np.isnan(geometry["class_means"]).any(axis=1)
    means = geometry["class_means"][seen] - geometry["class_means"][seen].mean(axis=0)
    panels = {"class means": _cosines(means, means)}
    if len(geometry["prototypes"]):
        vectors = geometry["prototypes"][seen]
        panels["class means and class vectors"] = _cosines(means, vectors - vectors.mean(axis=0))
    with sns.axes_style("white"), sns.plotting_context("notebook"):
        drawn = Figure(figsize=(1 + 4 * len(panels), 4.3), layout="constrained")
        axes = np.atleast_1d(drawn.subplots(1, len(panels)))
        for axis, (name, cosines) in zip(axes, panels.items(), strict=True):
            image = axis.imshow(cosines, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
            axis.set_title(name, fontsize=10)
            axis.set(xlabel="class", ylabel="class")
        drawn.colorbar(image, ax=axes, label="cosine", shrink=0.8)
        drawn.suptitle(title, fontsize=10)
    return drawn
