"""The predictions of a comparison's heads, read once for all figures that show them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from headbench.core.errors import DamagedError
from headbench.results import store
from headbench.results.compared import Comparison
from headbench.results.numbers import calibration
from headbench.results.numbers.calibration import Floats, Ints
from headbench.results.numbers.statistics import Bools
from headbench.results.tables.base import ENOUGH, at_largest_dim, primary, printed, summarise

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
    pooled: dict[str, Pooled] = {}
    damaged: list[str] = []
    for head, own in at_largest_dim(rows).groupby("head_label", sort=False):
        confidences, correct = list[Floats](), list[Bools]()
        first, view = own.iloc[0], primary(own)
        classes = int(first["num_classes"])
        confused = np.zeros((classes, classes), dtype=np.int64)
        for cell_id, fitted in zip(own["cell_id"], own["temperature"], strict=True):
            try:
                stored = store.read_predictions(store.cell_folder(out, cell_id), "last_test_logits", "test_labels")
            except DamagedError as damage:
                damaged.append(
                    f"{damage} and left out of the figures of {head}; remove the cell's result.json to train it again"
                )
                continue
            temperature = 1.0 if np.isnan(fitted) else fitted
            logits, labels = stored["last_test_logits"], stored["test_labels"]
            predicted = logits.argmax(axis=1)
            confidences.append(calibration.largest_probability(logits, temperature))
            correct.append(predicted == labels)
            confused += np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
        if sum(map(len, correct)):
            seeds, confidence, right = len(correct), np.concatenate(confidences), np.concatenate(correct)
            bins = calibration.reliability(confidence, right, np.linspace(0, 1, int(first["calibration_bins"]) + 1))
            number, floor = (summarise(own, metric).to_dict("records")[0] for metric in (f"ece_{view}", "ece_floor"))
            value = printed(number, number["n"], both=True).replace(" [", "\n[")
            ece = f"ECE {value} %\nfloor {printed(floor, floor['n'])} %"
            few = f", T of {first['n_val']} images" if view == "temperature" and first["n_val"] < ENOUGH else ""
            curve = _smoothed(confidence, right, seeds)
            pooled[str(head)] = Pooled(confused, bins, curve, first["feature_dim"], f"{view} view{few}", seeds, ece)
    return pooled, damaged


def _smoothed(confidence: Floats, right: Bools, seeds: int) -> Floats:
    """Return confidence and smoothed accuracy (2, points) by relplot, at the bandwidth of the smooth ECE.

    NaN where a seed has few images within it.
    """
    import relplot

    found = relplot.prepare_rel_diagram(confidence, right, plot_confidence_band=False, report_CE_std=False)
    near = found["density"] * found["sigma"] * np.sqrt(2 * np.pi) * len(right) / seeds
    return np.stack([found["mesh"], np.where(near >= NEAR, found["mu"], np.nan)])
