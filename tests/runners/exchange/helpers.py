"""Scores of a classifier of the toy data set of :mod:`tests.results.helpers`, and files of them."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

LABELS = np.arange(40) % 4
GENERATOR = np.random.default_rng(0)
LOGITS = (2 * np.eye(4)[LABELS] + GENERATOR.normal(size=(40, 4))).astype(np.float32)
VAL_LABELS = np.arange(24) % 4
VAL_LOGITS = (2 * np.eye(4)[VAL_LABELS] + GENERATOR.normal(size=(24, 4))).astype(np.float32)
PROBABILITIES = softmax(LOGITS.astype(np.float64), axis=1)


def npz(folder: Path, name: str = "mine.npz", **arrays: Any) -> Path:
    """Write a file of scores, by default logits and labels of the test images."""
    file = folder / name
    np.savez(file, **(arrays or {"logits": LOGITS, "labels": LABELS}))
    return file
