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


def groups(accuracy: Floats, nominal: Ints, ranges: tuple[int, int] | None) -> dict[str, float]:
    """Return mean per-class accuracy of the many, medium and few classes in both conventions of the field; NaN for an empty group.

    By count: many has more than 100 training images, few fewer than 20 (Liu et al., CVPR 2019; there an empty group is 0). By range: fixed ranges of the
    classes in descending order of their counts, whatever the imbalance (Zhong et al., CVPR 2021, and the papers after it).

    Args:
        accuracy: (C,) by class, NaN without samples.
        nominal: (C,) training images as the protocol wants them.
        ranges: first class of the medium and of the few range, or None where there is no such convention.
    """
    rank = np.empty(len(nominal), dtype=np.int64)
    rank[np.argsort(-nominal, kind="stable")] = np.arange(len(nominal))
    medium, few = ranges or (0, 0)
    used = ranges is not None
    chosen = {
        "many_accuracy": nominal > MANY,
        "medium_accuracy": (nominal >= FEW) & (nominal <= MANY),
        "few_accuracy": nominal < FEW,
        "many_range_accuracy": (rank < medium) & used,
        "medium_range_accuracy": (rank >= medium) & (rank < few) & used,
        "few_range_accuracy": (rank >= few) & used,
    }
    seen = ~np.isnan(accuracy)
    return {name: mean_or_nan(accuracy[mask & seen]) for name, mask in chosen.items()}


def evaluate(
    test: tuple[Floats, Ints], val: tuple[Floats, Ints] | None, native_scale: float, nominal: Ints, ranges: tuple[int, int] | None
) -> dict[str, float | str]:
    """Return every metric of one selection.

    Args:
        test: logits (N, C) with the head's own scale, and labels.
        val: the same of the validation part, for the temperature; None where there is none.
        native_scale: the scale inside the logits; without it they are the ``raw`` view.
        nominal: (C,) training images as the protocol wants them, for the groups.
        ranges: see :func:`groups`.

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
        **groups(accuracy, nominal, ranges),
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
