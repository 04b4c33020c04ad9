"""Scores of any classifier, judged as those of a cell are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headbench.core.errors import UserError, note
from headbench.results.numbers import metrics
from headbench.results.numbers.calibration import Ints

# What a cell knows and bare scores do not: the training images of each class, and the scale inside the scores.
UNKNOWN = {*metrics.groups(np.zeros(0), np.zeros(0, dtype=np.int64), None), "native_scale"}


def evaluate(scores: Any, labels: Any, val_scores: Any = None, val_labels: Any = None) -> dict[str, float | str]:
    """Return the metrics of a classifier from its scores on test images.

    Args:
        scores: (N, C) logits, whose softmax are the classifier's probabilities: numpy, torch or lists.
        labels: (N,) true classes, from 0 to C - 1.
        val_scores: (M, C) logits of held-out images, which fit the temperature; by default none, and the metrics of the
            temperature view are NaN.
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
    test = _checked(scores, labels, "scores", "labels")
    val = None if val_scores is None else _checked(val_scores, val_labels, "val_scores", "val_labels")
    classes = test[0].shape[1]
    if val is not None and val[0].shape[1] != classes:
        raise UserError(f"evaluate: val_scores have {val[0].shape[1]} classes, scores have {classes}")
    found = metrics.evaluate(test, val, 1.0, np.zeros(classes, dtype=np.int64), None)
    return {name: value for name, value in found.items() if name not in UNKNOWN}


def _checked(scores: Any, labels: Any, scores_name: str, labels_name: str) -> tuple[NDArray[np.float64], Ints]:
    """Return scores (N, C) and labels (N,), or raise UserError."""
    logits, classes = _array(scores, scores_name), _array(labels, labels_name)
    if logits.ndim != 2 or 0 in logits.shape or logits.dtype.kind not in "fiu" or not np.isfinite(logits).all():
        raise UserError(
            f"evaluate: {scores_name} are finite numbers (images, classes), not {logits.dtype} of shape {logits.shape}"
        )
    if classes.shape != logits.shape[:1] or classes.dtype.kind not in "iu":
        raise UserError(
            f"evaluate: {labels_name} are whole numbers, one for each of the {len(logits)} {scores_name}, not "
            f"{classes.dtype} of shape {classes.shape}"
        )
    wrong = classes[(classes < 0) | (classes >= logits.shape[1])]
    if len(wrong):
        raise UserError(
            f"evaluate: {labels_name} go from 0 to {logits.shape[1] - 1}, as {scores_name} have {logits.shape[1]} "
            f"classes; {wrong[0]} does not"
        )
    if logits.min() >= 0 and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        note(f"evaluate: {scores_name} look like probabilities; of these, give the logarithms")
    return logits.astype(np.float64), classes.astype(np.int64)


def _array(values: Any, name: str) -> np.ndarray:
    """Return an array of numbers, from numpy, torch (without importing it) or lists."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16.
        values = values.double() if values.is_floating_point() else values
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise UserError(f"evaluate: {name} are no array of numbers: {' '.join(str(error).split())}") from None
