"""Rows and answers made by hand, without a store."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headbench.results.answers import Answer, Answers
from headbench.results.numbers.statistics import Bools

FACTS = {
    "dataset": "cifar100",
    "data_fingerprint": "abc",
    "backbone": "b",
    "recipe": "fast",
    "projection": "linear",
    "freeze": "none",
    "tuned": 0,
    "protocol": "p",
    "imbalance_factor": 1.0,
    "epochs": 10,
    "status": "done",
    "health": "ok",
    "selection": "last",
    "imported": None,
    "ece_raw": math.nan,
    "ece_native": math.nan,
    "ece_temperature": math.nan,
}


class Given(Answers):
    """Answers that are known from the start."""

    def __init__(self, cells: dict[str, Bools]) -> None:
        super().__init__(Path())
        self._cells = {cell_id: {"last": Answer(right, right.tobytes().hex())} for cell_id, right in cells.items()}


def answered(heads: dict[tuple[str, int], Bools], **changes: Any) -> tuple[pd.DataFrame, Given]:
    """Return rows and answers of heads, each with (n, N) answers by seed and image, under ``(head_label,
    feature_dim)``.
    """
    facts, rows, cells = FACTS | changes, [], {}
    for (head, dim), answers in heads.items():
        for seed, right in enumerate(answers):
            cell_id = f"{facts['dataset']} {facts['imbalance_factor']} {head} {dim} {seed}"
            cells[cell_id] = right
            rows.append(
                facts
                | {"head": head.partition("(")[0], "head_label": head, "head_options": "{}"}
                | {"cell_id": cell_id, "feature_dim": dim, "seed": seed, "top1": right.mean()}
            )
    return pd.DataFrame(rows), Given(cells)


def random(accuracy: float, seed: int, n: int = 3, images: int = 2000) -> Bools:
    """Return (n, N) answers of a head of this accuracy, alike from seed to seed."""
    rng = np.random.default_rng(seed)
    difficulty = rng.random(images)
    flips: Bools = rng.random((n, images)) < 0.02
    return (difficulty < accuracy) ^ flips
