"""Which test images each cell gets right: a bit per image, kept with its result, so that heads are compared without
their scores.
"""

import base64
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from headbench.core.errors import DamagedError, NewerError
from headbench.results import store
from headbench.results.numbers.calibration import Floats, Ints
from headbench.results.numbers.statistics import Bools


@dataclass(frozen=True)
class Answer:
    """What one cell says of the test images under one selection.

    Attributes:
        right: (N,) whether the image is classified rightly.
        digest: of the predicted classes; equal digests are equal predictions. None where it is not known.
    """

    right: Bools
    digest: str | None


def of(logits: Floats, labels: Ints) -> Answer:
    """Return the answer of test logits (N, C) for labels (N,)."""
    predicted = logits.argmax(axis=1).astype(np.int64)
    return Answer(predicted == labels, hashlib.sha256(predicted.tobytes()).hexdigest()[:16])


def pack(answer: Answer) -> dict[str, str | None]:
    """Return an answer as fields of ``result.json``: ``correct``, the base64 of a bit per image, and
    ``predictions_digest``.
    """
    return {
        "correct": base64.b64encode(np.packbits(answer.right).tobytes()).decode(),
        "predictions_digest": answer.digest,
    }


def unpack(measured: dict[str, Any], n_test: int) -> Answer:
    """Return the answer in the fields of a selection in ``result.json``."""
    bits = np.frombuffer(base64.b64decode(measured["correct"]), dtype=np.uint8)
    return Answer(np.unpackbits(bits, count=n_test).astype(bool), measured.get("predictions_digest"))


class Answers:
    """The answers of finished cells, each read once: from ``result.json``, or from the stored scores where an earlier
    harness wrote the cell.

    Args:
        out: folder of the runs.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self._cells: dict[str, dict[str, Answer]] = {}

    @classmethod
    def known(cls, cells: dict[str, dict[str, Answer]]) -> "Answers":
        """Return answers that are known from the start, by cell and selection; of other cells there are none."""
        made = cls(Path(os.devnull))
        made._cells = cells
        return made

    def learn(self, result: dict[str, Any]) -> None:
        """Take a cell's answers from its ``result.json``, which was read for other reasons, where that has them."""
        if _told(result):
            self._cells[result["cell_id"]] = _of_result(result)

    def among(self, cell_ids: Iterable[str]) -> "Answers":
        """Return the answers of some cells alone; those that are not known yet are read when they are asked for."""
        made = type(self)(self.out)
        made._cells = {cell_id: self._cells[cell_id] for cell_id in cell_ids if cell_id in self._cells}
        return made

    def of(self, cell_id: str, selection: str) -> Answer | None:
        """Return a cell's answer, None where it cannot be had."""
        if cell_id not in self._cells:
            self._cells[cell_id] = _read(store.cell_folder(self.out, cell_id))
        return self._cells[cell_id].get(selection)

    def of_rows(self, rows: pd.DataFrame) -> list[Answer] | None:
        """Return the answers of rows in their order, None where one of them cannot be had."""
        found = [
            self.of(cell_id, selection) for cell_id, selection in zip(rows["cell_id"], rows["selection"], strict=True)
        ]
        known = [answer for answer in found if answer is not None]
        return known if len(known) == len(found) else None


def _read(folder: Path) -> dict[str, Answer]:
    """Return a cell's answers by selection; none of a cell that is not done or damaged."""
    try:
        result = store.read_result(folder)
        if result is None:
            return {}
        if _told(result):
            return _of_result(result)
        stored = store.read_predictions(folder)
        return {
            name: of(stored[f"{name}_test_logits"], stored["test_labels"])
            for name in result["selections"]
            if len(stored["test_labels"]) == int(result["facts"]["n_test"])
        }
    except (DamagedError, NewerError, LookupError, ValueError):
        return {}  # the last two for stored scores that are not those of the result


def _told(result: dict[str, Any]) -> bool:
    return all(measured.get("correct") for measured in result["selections"].values())


def _of_result(result: dict[str, Any]) -> dict[str, Answer]:
    n_test = int(result["facts"]["n_test"])
    return {name: unpack(measured, n_test) for name, measured in result["selections"].items()}
