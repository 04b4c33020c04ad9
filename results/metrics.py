"""All metrics of one selection, from its logits. Fractions in [0, 1]; empty groups are NaN, never 0."""

import numpy as np

from results import calibration
from results.calibration import Floats, Ints

MANY, FEW = 100, 20


def mean_or_nan(values: Floats) -> float:
    """Return the mean, or NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")


def top_k(logits: Floats, labels: Ints, k: int) -> float:
    """Return the part of samples whose label is among the k highest scores; ties go to the lower class, as in argmax."""
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return mean_or_nan((best == labels[:, None]).any(axis=1).astype(np.float64))


def per_class_accuracy(logits: Floats, labels: Ints) -> Floats:
    """Return (C,) accuracies by true class, NaN for a class without samples."""
    correct = (logits.argmax(axis=1) == labels).astype(np.float64)
    counts = np.bincount(labels, minlength=logits.shape[1])
    with np.errstate(invalid="ignore"):
        return np.bincount(labels, correct, logits.shape[1]) / counts


def groups(accuracy: Floats, class_counts: Ints) -> dict[str, float]:
    """Return mean per-class accuracy of classes with many (> 100), medium and few (< 20) training images.

    Source: the count-based convention of Liu et al., CVPR 2019 (there an empty group is 0; here it is NaN).
    """
    chosen = {
        "many_accuracy": class_counts > MANY,
        "medium_accuracy": (class_counts >= FEW) & (class_counts <= MANY),
        "few_accuracy": class_counts < FEW,
    }
    seen = ~np.isnan(accuracy)
    return {name: mean_or_nan(accuracy[mask & seen]) for name, mask in chosen.items()}


def evaluate(test: tuple[Floats, Ints], val: tuple[Floats, Ints] | None, native_scale: float, class_counts: Ints) -> dict[str, float | str]:
    """Return every metric of one selection.

    Args:
        test: logits (N, C) with the head's own scale, and labels.
        val: the same of the validation part, for the temperature; None where there is none.
        native_scale: the scale inside the logits; without it they are the ``raw`` view.
        class_counts: (C,) training images.

    Returns:
        Metrics by column name. ``nll``, ``brier``, ``adaptive_ece``, ``classwise_ece`` and ``mce`` belong to the view that ``calibration_view`` names:
        ``temperature`` where there is a validation part, else ``native``.
    """
    logits, labels = test[0].astype(np.float64), test[1]
    temperature = calibration.fit_temperature(val[0].astype(np.float64), val[1]) if val else float("nan")
    views = {"raw": native_scale, "native": 1.0, "temperature": temperature}
    eces = {f"ece_{view}": calibration.top_label(calibration.probabilities(logits, t), labels).ece() for view, t in views.items() if not np.isnan(t)}
    primary = "temperature" if val else "native"
    scaled = logits / views[primary]
    shown = calibration.probabilities(scaled)
    accuracy = per_class_accuracy(logits, labels)
    return {
        "top1": top_k(logits, labels, 1),
        "top5": top_k(logits, labels, 5),
        "macro_accuracy": mean_or_nan(accuracy[~np.isnan(accuracy)]),
        **groups(accuracy, class_counts),
        "nll": calibration.nll(scaled, labels),
        "brier": calibration.brier(shown, labels),
        "ece_temperature": float("nan"),
        **eces,
        "adaptive_ece": calibration.adaptive_ece(shown, labels),
        "classwise_ece": calibration.classwise_ece(shown, labels),
        "mce": calibration.top_label(shown, labels).mce(),
        "temperature": temperature,
        "calibration_view": primary,
    }
