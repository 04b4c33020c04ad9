"""All metrics of one selection, from its logits. Fractions in [0, 1]; empty groups are NaN, never 0."""

import numpy as np

from headbench.results.numbers import calibration, ece
from headbench.results.numbers.calibration import Floats, Ints
from headbench.results.numbers.statistics import basic_interval, resampled_means

MANY, FEW = 100, 20
ECES = ["ece_raw", "ece_native", "ece_temperature"]
# Metrics that have an interval over test images.
INTERVALS = [*ECES, "nll", "brier"]
# Accuracies of groups of classes, whose training images somebody must tell.
GROUPS = tuple(f"{size}{kind}_accuracy" for kind in ("", "_range") for size in ("many", "medium", "few"))


def mean_or_nan(values: Floats) -> float:
    """Return the mean, or NaN of nothing."""
    return float(values.mean()) if len(values) else float("nan")


def top_k(logits: Floats, labels: Ints, k: int) -> float:
    """Return the part of samples whose label is among the k highest scores.

    Ties go to the lower class, as in argmax.
    """
    best = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return mean_or_nan((best == labels[:, None]).any(axis=1).astype(np.float64))


def per_class_accuracy(logits: Floats, labels: Ints) -> Floats:
    """Return (C,) accuracies by true class, NaN for a class without samples."""
    correct = (logits.argmax(axis=1) == labels).astype(np.float64)
    counts = np.bincount(labels, minlength=logits.shape[1])
    with np.errstate(invalid="ignore"):
        return np.bincount(labels, correct, logits.shape[1]) / counts


def groups(accuracy: Floats, nominal: Ints, ranges: tuple[int, int] | None) -> dict[str, float]:
    """Return mean per-class accuracy of the many, medium and few classes in both conventions of the field.

    NaN for an empty group.

    By count: many has more than 100 training images, few fewer than 20 (Liu et al., CVPR 2019; there an empty group is
    0). By range: fixed ranges of the classes in descending order of their counts, whatever the imbalance (Zhong et al.,
    CVPR 2021, and the papers after it).

    Args:
        accuracy: (C,) by class, NaN without samples.
        nominal: (C,) training images as the protocol wants them.
        ranges: first class of the medium and of the few range, or None where there is no such convention.
    """
    rank = np.empty(len(nominal), dtype=np.int64)
    rank[np.argsort(-nominal, kind="stable")] = np.arange(len(nominal))
    medium, few = ranges or (0, 0)
    used = ranges is not None
    chosen = [
        nominal > MANY,
        (nominal >= FEW) & (nominal <= MANY),
        nominal < FEW,
        (rank < medium) & used,
        (rank >= medium) & (rank < few) & used,
        (rank >= few) & used,
    ]
    seen = ~np.isnan(accuracy)
    return {name: mean_or_nan(accuracy[mask & seen]) for name, mask in zip(GROUPS, chosen, strict=True)}


def evaluate(
    test: tuple[Floats, Ints],
    val: tuple[Floats, Ints] | None,
    native_scale: float,
    nominal: Ints,
    ranges: tuple[int, int] | None,
) -> dict[str, float | str]:
    """Return every metric of one selection.

    Args:
        test: logits (N, C) with the head's own scale, and labels.
        val: the same of the validation part, for the temperature, ``val_top1`` and ``val_nll`` (by the head's own
            scale); None where there is none.
        native_scale: the scale inside the logits; without it they are the ``raw`` view.
        nominal: (C,) training images as the protocol wants them, for the groups.
        ranges: see :func:`groups`.

    Returns:
        Metrics by column name; those of :func:`calibrated` belong to the view that ``calibration_view`` names:
        ``temperature`` where there is a validation part, else ``native``.
    """
    logits, labels = test
    temperature = calibration.fit_temperature(val[0].astype(np.float64), val[1]) if val else float("nan")
    accuracy = per_class_accuracy(logits, labels)
    return {
        "top1": top_k(logits, labels, 1),
        "top5": top_k(logits, labels, 5),
        "val_top1": top_k(*val, 1) if val else float("nan"),
        "val_nll": mean_or_nan(calibration.nll(val[0].astype(np.float64), val[1])) if val else float("nan"),
        "macro_accuracy": mean_or_nan(accuracy[~np.isnan(accuracy)]),
        **groups(accuracy, nominal, ranges),
        **calibrated(logits, labels, native_scale, temperature),
        "temperature": temperature,
        "native_scale": native_scale,
        "calibration_view": "temperature" if val else "native",
    }


def calibrated(
    logits: Floats, labels: Ints, native_scale: float, temperature: float, bins: int = calibration.BINS
) -> dict[str, float]:
    """Return what depends on confidences: ECE in three views, and of the primary view its floor, the other calibration
    errors, NLL and Brier score.

    Args:
        logits: (N, C) with the head's own scale.
        labels: (N,).
        native_scale: the scale inside the logits; without it they are the ``raw`` view.
        temperature: of the ``temperature`` view, the primary one; NaN where there is none, and ``native`` is primary.
        bins: of the calibration errors.

    Returns:
        Metrics by column name, NaN without samples. ``ece_<view>`` is debiased, ``ece_<view>_plugin`` is the plain ECE
        of the field (see :mod:`headbench.results.numbers.ece`), and all other calibration errors are plug-in too. Those
        of ``INTERVALS`` have a 95 % interval over test images, at fixed weights and temperature, as ``<metric>_low``
        and ``<metric>_high``: of the true ECE, and by the bootstrap for NLL and Brier score.
    """
    temperatures = {"ece_raw": native_scale, "ece_native": 1.0, "ece_temperature": temperature}
    views = {
        name: calibration.probabilities(logits.astype(np.float64), t)
        for name, t in temperatures.items()
        if not np.isnan(t)
    }
    primary = "ece_native" if np.isnan(temperature) else "ece_temperature"
    shown, divisor = views[primary], temperatures[primary]
    sorted_in = {name: calibration.top_label(view, labels, bins) for name, view in views.items()}
    found = {f"{name}{end}": float("nan") for name in ECES for end in ("", "_plugin", "_low", "_high")}
    for name, sample in sorted_in.items():
        about = ece.estimate(sample)
        found |= {
            name: about.debiased,
            f"{name}_plugin": about.plugin,
            f"{name}_low": about.low,
            f"{name}_high": about.high,
        }
    for name, values in {
        "nll": calibration.nll(logits.astype(np.float64) / divisor, labels),
        "brier": calibration.brier(shown, labels),
    }.items():
        found[name] = mean_or_nan(values)
        found[f"{name}_low"], found[f"{name}_high"] = (
            basic_interval(found[name], resampled_means(values)) if len(values) else (float("nan"),) * 2
        )
    return found | {
        "ece_floor": ece.floor(sorted_in[primary]),
        "smooth_ece": calibration.smooth_ece(shown, labels),
        "adaptive_ece": calibration.adaptive_ece(shown, labels, bins),
        "classwise_ece": calibration.classwise_ece(shown, labels, bins),
        "mce": sorted_in[primary].mce(),
        "calibration_bins": bins,
    }
