"""Scores of any classifier, judged as those of a cell are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headbench.core.errors import UserError, note, reason
from headbench.results.numbers import metrics
from headbench.results.numbers.calibration import Ints

# What a cell knows and bare scores do not: the training images of each class, and the scale inside the scores.
UNKNOWN = {*metrics.GROUPS, "native_scale"}

# Of a score in size: what single precision holds.
LARGEST = float(np.finfo(np.float32).max)


# Whatever a caller has numpy raise, as an underflow, which is as good as zero.
@np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")
def evaluate(scores: Any, labels: Any, val_scores: Any = None, val_labels: Any = None) -> dict[str, float | str]:
    """Return the metrics of a classifier from its scores on test images.

    Args:
        scores: (N, C) logits, whose softmax are the classifier's probabilities: numpy, torch or lists.
        labels: (N,) true classes, from 0 to C - 1.
        val_scores: (M, C) logits of held-out images, which fit the temperature; by default none, and the metrics of the
            temperature view, ``val_top1`` and ``val_nll`` are NaN.
        val_labels: (M,) their classes.

    Returns:
        Metrics by the names that they have in ``results.csv``, see
        :func:`headbench.results.numbers.metrics.evaluate`. The scale inside the scores is taken as theirs, so that the
        views ``raw`` and ``native`` are the same.

    Raises:
        UserError: for arrays that are no scores and labels of the same images and classes.
    """
    if (val_scores is None) != (val_labels is None):
        raise UserError("evaluate: val_scores and val_labels are given together, or not at all")
    test = checked(scores, labels, "evaluate", "scores", "labels")
    val = None if val_scores is None else checked(val_scores, val_labels, "evaluate", "val_scores", "val_labels")
    for logits, name in ((test[0], "scores"), *(() if val is None else ((val[0], "val_scores"),))):
        if like_probabilities(logits):
            note(f"evaluate: {name} look like probabilities; of these, give the logarithms")
    classes = test[0].shape[1]
    if val is not None and val[0].shape[1] != classes:
        raise UserError(f"evaluate: val_scores have {val[0].shape[1]} classes, scores have {classes}")
    found = metrics.evaluate(test, val, 1.0, np.zeros(classes, dtype=np.int64), None)
    return {name: value for name, value in found.items() if name not in UNKNOWN}


def checked(
    scores: Any, labels: Any, place: str, scores_name: str, labels_name: str
) -> tuple[NDArray[np.float64], Ints]:
    """Return scores (N, C) and labels (N,) of anything that holds numbers.

    Args:
        scores: numpy, torch or lists.
        labels: of their images.
        place: where they are given, first in a message.
        scores_name: what they are called there.
        labels_name: what these are called there.

    Raises:
        UserError: for arrays that are no scores and labels of the same images and classes.
    """
    logits, classes = array(scores, place, scores_name), array(labels, place, labels_name)
    if logits.ndim != 2 or 0 in logits.shape or logits.dtype.kind not in "fiu" or not np.isfinite(logits).all():
        raise UserError(
            f"{place}: {scores_name} are finite numbers (images, classes), not {logits.dtype} of shape {logits.shape}"
            + _first_unknown(logits)
        )
    values: NDArray[np.float64] = logits.astype(np.float64)
    if np.abs(values).max() > LARGEST:
        row, column = np.argwhere(np.abs(values) > LARGEST)[0]
        raise UserError(
            f"{place}: {scores_name} are at most {LARGEST:.2g} in size; row {row}, class {column} has "
            f"{values[row, column]:.3g}"
        )
    if classes.shape != logits.shape[:1] or classes.dtype.kind not in "iu":
        raise UserError(
            f"{place}: {labels_name} are whole numbers, one for each of the {len(logits)} {scores_name}, not "
            f"{classes.dtype} of shape {classes.shape}" + _first_odd(classes)
        )
    wrong = np.flatnonzero((classes < 0) | (classes >= logits.shape[1]))
    if len(wrong):
        from_one = classes.min() == 1 and classes.max() == logits.shape[1]
        raise UserError(
            f"{place}: {labels_name} go from 0 to {logits.shape[1] - 1}, as {scores_name} have {logits.shape[1]} "
            f"classes; in row {wrong[0]}, {classes[wrong[0]]} does not"
            + ("; they seem to count from 1" if from_one else "")
        )
    return values, classes.astype(np.int64)


def like_probabilities(scores: NDArray[np.floating[Any]]) -> bool:
    """Say whether scores (N, C) look like probabilities: none below 0, and rows that sum to 1."""
    return bool(scores.min() >= 0 and np.allclose(scores.sum(axis=1), 1, atol=1e-3))


def _first_unknown(logits: np.ndarray) -> str:
    """Return where the first number of scores is that is not finite, nothing where there is none."""
    if logits.ndim != 2 or logits.dtype.kind != "f" or np.isfinite(logits).all():
        return ""
    row, column = np.argwhere(~np.isfinite(logits))[0]
    return f" with {logits[row, column]} in row {row}, class {column}"


def _first_odd(labels: np.ndarray) -> str:
    """Return which label is no whole number, nothing where it is their type or shape alone."""
    if labels.ndim != 1 or labels.dtype.kind not in "fOUS":
        return ""
    odd = np.flatnonzero(labels != np.round(labels)) if labels.dtype.kind == "f" else np.arange(len(labels))
    return f"; row {odd[0]} has {str(labels[odd[0]])[:40]}" if len(odd) else ""


def array(values: Any, place: str, name: str) -> np.ndarray:
    """Return an array of numbers, from numpy, torch (without importing it) or lists.

    Raises:
        UserError: if they are none, or some of them are masked, which numpy would take for numbers.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16.
        values = values.double() if values.is_floating_point() else values
    if np.ma.is_masked(values):
        first = ", ".join(map(str, np.argwhere(np.ma.getmaskarray(values))[0]))
        raise UserError(f"{place}: {name} have masked values, the first at [{first}]; leave out the images of these")
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise UserError(f"{place}: {name} are no array of numbers: {reason(error, None)}") from None
