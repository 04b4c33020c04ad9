"""The predictions of a comparison's heads, read once for all figures that show them."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headbench.core.errors import DamagedError
from headbench.results import store
from headbench.results.compared import Comparison
from headbench.results.numbers import calibration
from headbench.results.numbers.calibration import Floats, Ints
from headbench.results.numbers.statistics import Bools
from headbench.results.tables.base import ENOUGH, SIGN, at_largest_dim, primary, printed, summarise

# Of one seed: confidences (N,), which images are right (N,), and their classes, C times the true one and the predicted
# one (N,).
Seed = tuple[Floats, Bools, Ints]
# The smoothed accuracy is not drawn where fewer images are near.
NEAR = 5


@dataclass(frozen=True)
class Pooled:
    """The predictions of one head at its largest dimension, all seeds pooled.

    Attributes:
        confused: (C, C) test images of all seeds, the true class down and the predicted one across.
        bins: of their confidences.
        curve: (2, points) confidence and smoothed accuracy, NaN where too few images are near.
        dim: the feature dimension.
        view: by which scores were scaled, in words.
        seeds: how many.
        ece: the number of the calibration table, with its floor.
    """

    confused: Ints
    bins: calibration.Bins
    curve: Floats
    dim: int
    view: str
    seeds: int
    ece: str


@lru_cache(maxsize=1)
def of(comparison: Comparison) -> dict[str, Pooled]:
    """Return the pooled predictions of each head of a comparison, read once for all figures that show them."""
    found, damaged = pool(comparison.rows, comparison.out)
    comparison.lines.extend(damaged)
    return found


def pool(rows: pd.DataFrame, out: Path) -> tuple[dict[str, Pooled], list[str]]:
    """Return the pooled predictions of each head: the last epoch at the largest dimension at which it was trained.

    Each seed's logits are divided by its own temperature; without a validation part they keep the head's native scale.

    Args:
        rows: of one comparison.
        out: folder of the runs, where the stored predictions are.

    Returns:
        The predictions by head, and a line for each file that is damaged and was left out.
    """
    pooled, damaged = dict[str, Pooled](), list[str]()
    for head, own in at_largest_dim(rows).groupby("head_label", sort=False):
        seeds = [seed for row in own.to_dict("records") if (seed := _read(row, out, damaged)) is not None]
        if any(len(right) for _, right, _ in seeds):
            pooled[str(head)] = _together(own, seeds)
    return pooled, damaged


def _read(row: Mapping[Hashable, Any], out: Path, damaged: list[str]) -> Seed | None:
    """Return the predictions of a cell; None, and a line, where their file is damaged."""
    try:
        stored = store.read_predictions(store.cell_folder(out, row["cell_id"]), "last_test_logits", "test_labels")
    except DamagedError as damage:
        head = row["head_label"]
        damaged.append(
            f"{damage} and left out of the figures of {head}; remove the cell's result.json to train it again"
        )
        return None
    logits, labels, classes = stored["last_test_logits"], stored["test_labels"], int(row["num_classes"])
    predicted = logits.argmax(axis=1)
    temperature = 1.0 if np.isnan(row["temperature"]) else row["temperature"]
    return calibration.largest_probability(logits, temperature), predicted == labels, labels * classes + predicted


def _together(own: pd.DataFrame, seeds: list[Seed]) -> Pooled:
    """Return the predictions of a head, whose rows these are, over all seeds."""
    first, view = own.iloc[0], primary(own)
    confidence, right, pairs = (np.concatenate(values) for values in zip(*seeds, strict=True))
    classes = int(first["num_classes"])
    bins = calibration.reliability(confidence, right, np.linspace(0, 1, int(first["calibration_bins"]) + 1))
    number, floor = (summarise(own, metric).to_dict("records")[0] for metric in (f"ece_{view}", "ece_floor"))
    value, least = (printed(one | {"marked": False}, one["n"], both=True) for one in (number, floor))
    mark = f" {SIGN}" if number["marked"] else ""
    ece = f"ECE {value} %{mark}\nfloor {least} %".replace(" [", "\n[")
    few = f", T of {first['n_val']} images" if view == "temperature" and first["n_val"] < ENOUGH else ""
    confused = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    curve = _smoothed(confidence, right, len(seeds))
    return Pooled(confused, bins, curve, first["feature_dim"], f"{view} view{few}", len(seeds), ece)


def _smoothed(confidence: Floats, right: Bools, seeds: int) -> Floats:
    """Return confidence and smoothed accuracy (2, points) by relplot, at the bandwidth of the smooth ECE.

    NaN where a seed has few images within it.
    """
    import relplot

    found = relplot.prepare_rel_diagram(confidence, right, plot_confidence_band=False, report_CE_std=False)
    near = found["density"] * found["sigma"] * np.sqrt(2 * np.pi) * len(right) / seeds
    return np.stack([found["mesh"], np.where(near >= NEAR, found["mu"], np.nan)])
