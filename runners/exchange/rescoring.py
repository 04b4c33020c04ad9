"""The metrics of a cell once more, from its stored predictions: what does not agree is named."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from headbench.core.errors import DamagedError, reason
from headbench.results import answers, store
from headbench.results.numbers import calibration, collapse, metrics
from headbench.runners.exchange.reference import Reference
from headbench.runners.execution.cell import FLOAT32_VALUES

# By how much numbers may differ, absolutely below 1 and relatively above: rounding differs from machine to machine, a
# fitted temperature by the end of its search, and scores in half precision are not quite those that were judged.
TOLERANCE, FITTED, HALF = 1e-6, 1e-3, 1e-2
# Selections that tables of heads rest on.
FOR_TABLES = ("last", "best_val")
# Of the images, how many half precision may give another class.
MOVED = 2e-3


def differing(folder: Path, result: dict[str, Any], known: Reference | None) -> tuple[list[str], int]:
    """Return a line for each number of a cell that its predictions do not give, and how many were compared.

    Args:
        folder: of the cell.
        result: its ``result.json``.
        known: of its data set, which gives the classes' training images; without it groups of classes are not compared.

    Raises:
        DamagedError: if the cell's files are no predictions of its images.
    """
    stored, lines, count = store.read_predictions(folder), list[str](), 0
    if "test_labels" not in stored or len(stored["test_labels"]) != result["facts"]["n_test"]:
        raise DamagedError(f"{folder / 'predictions.npz'} has no labels of {result['facts']['n_test']} test images")
    held_out = result["facts"]["n_val"]
    if any(len(own) != held_out for name, own in stored.items() if name.endswith(("val_logits", "val_labels"))):
        raise DamagedError(f"{folder / 'predictions.npz'} has not the scores of {held_out} validation images")
    if "val_labels" not in stored and any(name.endswith("val_logits") for name in stored):
        raise DamagedError(f"{folder / 'predictions.npz'} has no labels of its validation images")
    for selection, measured in result["selections"].items():
        logits = stored.get(f"{selection}_test_logits")
        if logits is None or logits.shape[1] != result["facts"]["num_classes"]:
            raise DamagedError(f"{folder / 'predictions.npz'} has no test scores of '{selection}'")
        half = _is_half(logits)
        half_val = _is_half(stored.get(store.val_logits(selection), logits[:0]))
        found = _measured(stored, selection, measured, result["native_scale"], known)
        if "nc1" in measured and (folder / "geometry.npz").exists():
            found |= _collapse(folder)
        told = {name: measured[name] for name in found if isinstance(measured.get(name), int | float)}
        count += len(told)
        lines += [
            f"{selection} {name}: {value:.6g} is told, and {found[name]:.6g} found"
            for name, value in told.items()
            if not _agree(value, found[name], _tolerance(name, half, half_val))
        ]
        lines += [
            f"{selection} {name}: {measured[name]:.6g} is told, without scores of validation images"
            for name in ("temperature", "val_top1", "val_nll")
            if selection in FOR_TABLES and name not in found and _is_told(measured.get(name))
        ]
        lines += [
            f"{selection} {name}: {value:.6g} is told, without geometry.npz"
            for name, value in measured.items()
            if name.startswith("nc") and name not in found and _is_told(value)
        ]
        lines += _answers(logits, stored["test_labels"], selection, measured, half)
    return lines, count


def _collapse(folder: Path) -> dict[str, float]:
    """Return the measures of neural collapse of a cell; raise DamagedError if its geometry is none."""
    try:
        return collapse.measure(store.read_arrays(folder, "geometry.npz"))
    except (LookupError, ValueError, TypeError) as error:
        raise DamagedError(f"{folder / 'geometry.npz'} is damaged ({reason(error)})") from None


def _is_told(value: Any) -> bool:
    """Say whether a metric is a number."""
    return isinstance(value, int | float) and not math.isnan(value)


def _is_half(logits: np.ndarray) -> bool:
    """Say whether scores are of half precision, as the harness stores many."""
    return logits.dtype == np.float16 and logits.size > FLOAT32_VALUES


def _tolerance(name: str, half: bool, half_val: bool) -> float:
    """Return how far a metric may be from what is told, where the scores behind it are of half precision."""
    if half or (half_val and (name.startswith("val_") or name == "temperature")):
        return HALF
    return FITTED if name == "temperature" else TOLERANCE


def _measured(
    stored: dict[str, np.ndarray], selection: str, measured: dict[str, Any], scale: float, known: Reference | None
) -> dict[str, float]:
    """Return the metrics of a selection by its own temperature, and the temperature that is fitted anew."""
    logits, labels = stored[f"{selection}_test_logits"], stored["test_labels"]
    val = stored.get(store.val_logits(selection))
    temperature = measured.get("temperature")
    shown = math.nan if temperature is None else float(temperature)
    accuracy = metrics.per_class_accuracy(logits, labels)
    found = {
        "top1": metrics.top_k(logits, labels, 1),
        "top5": metrics.top_k(logits, labels, 5),
        "macro_accuracy": metrics.mean_or_nan(accuracy[~np.isnan(accuracy)]),
        **metrics.calibrated(
            logits, labels, measured.get("native_scale") or scale, shown, measured["calibration_bins"]
        ),
    }
    if val is not None and len(val):
        scores = val.astype(np.float64)
        found["val_top1"] = metrics.top_k(val, stored["val_labels"], 1)
        found["val_nll"] = metrics.mean_or_nan(calibration.nll(scores, stored["val_labels"]))
        found["temperature"] = calibration.fit_temperature(scores, stored["val_labels"])
    if known is not None and known.nominal is not None:
        found |= metrics.groups(accuracy, known.nominal, known.ranges)
    return found


def _answers(logits: np.ndarray, labels: np.ndarray, selection: str, measured: dict[str, Any], half: bool) -> list[str]:
    """Return what is wrong with which images a selection is said to get right, and with its accuracy by class."""
    lines, most = [], MOVED * len(labels) if half else 0
    if measured.get("correct"):
        told = answers.unpack(measured, len(labels)).right
        if (moved := int((told != answers.of(logits, labels).right).sum())) > most:
            lines.append(f"{selection}: {moved} images are told to be right, or wrong, and are not")
        if not _agree(measured["top1"], told.mean(), TOLERANCE):
            lines.append(f"{selection} top1: {measured['top1']:.6g} is told, and {told.mean():.6g} of the images")
    digest = measured.get("predictions_digest")
    if digest is not None and not half and digest != answers.of(logits, labels).digest:
        lines.append(f"{selection}: what is predicted has another digest")
    by_class = measured.get("per_class_accuracy")
    if by_class is not None:
        told = np.array([math.nan if value is None else value for value in by_class])
        if not np.allclose(
            told, metrics.per_class_accuracy(logits, labels), atol=0.1 if half else TOLERANCE, equal_nan=True
        ):
            lines.append(f"{selection}: the accuracy by class is another one")
    return lines


def _agree(told: float, found: float, tolerance: float) -> bool:
    return math.isfinite(found) and abs(told - found) <= tolerance * max(1.0, abs(found))
