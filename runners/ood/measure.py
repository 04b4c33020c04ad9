"""What the scores of a finished classifier say of images of other data sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headbench.core.errors import DamagedError, UserError, note
from headbench.data.loading.foreign import Foreign
from headbench.results import store
from headbench.results.numbers import ood
from headbench.results.ood import cell_files
from headbench.runners.grid.cells import Cell
from headbench.runners.ood import sets
from headbench.runners.ood.sets import OodSet
from headbench.runners.training import evaluate
from headbench.runners.training.classifier import Classifier, build, load_weights
from headbench.runners.training.data import Data


def measure(classifier: Classifier, own: np.ndarray, outside: Mapping[str, Foreign]) -> dict[str, dict[str, Any]]:
    """Return what a cell's scores say of images of other data sets, by key, see
    :class:`headbench.results.ood.cell_files.Measured`.

    Args:
        classifier: with the weights of the last epoch.
        own: its logits (N, C) of the cell's test images, as they are stored.
        outside: the others, by key.
    """
    found = {}
    for key, images in outside.items():
        # Of the type of the cell's own, so that both are rounded alike.
        scores = evaluate.scores(classifier, evaluate.embed(classifier, images)).astype(own.dtype)
        found[key] = {"dataset": images.label, "images": len(images), "metrics": ood.evaluate(own, scores)}
    return found


def complete(cells: Mapping[str, Cell], asked: tuple[OodSet, ...], data: Data, out: Path) -> list[str]:
    """Measure finished cells on the sets that they lack, those whose weights were kept.

    Args:
        cells: by ``cell_id``.
        asked: the sets.
        data: of the cells.
        out: folder of the runs.

    Returns:
        A line on the cells without weights, and one for each that could not be measured.
    """
    lacking = {
        cell_id: missing
        for cell_id in cells
        if (missing := [one for one in asked if not cell_files.has(store.cell_folder(out, cell_id), one.key)])
    }
    kept = [cell_id for cell_id in lacking if (store.cell_folder(out, cell_id) / store.WEIGHTS).is_file()]
    if kept:
        note(f"measuring {len(kept)} finished cells on other data sets, from their kept weights")
    lines = []
    for cell_id in kept:
        try:
            _again(cells[cell_id], lacking[cell_id], data, store.cell_folder(out, cell_id))
        except (UserError, DamagedError) as error:
            lines.append(f"cell {cell_id} is not measured on other data sets: {error}")
    without = [missing for cell_id, missing in lacking.items() if cell_id not in kept]
    if without:
        named = ", ".join(dict.fromkeys(one.label for missing in without for one in missing))
        lines.append(
            f"not computed: {named} for {len(without)} cells that were finished before the grid named them and whose "
            f"weights were not kept; --out with a new folder trains them again"
        )
    return lines


def _again(cell: Cell, missing: list[OodSet], data: Data, folder: Path) -> None:
    """Measure a finished cell from its kept weights."""
    parts = sets.beside(data.parts(cell), missing, data)
    classifier = build(cell, parts.info(cell.seed), bf16=data.bf16)
    load_weights(classifier, folder)
    own = store.read_predictions(folder, "last_test_logits")["last_test_logits"]
    for key, measured in measure(classifier.to(data.device), own, parts.outside).items():
        cell_files.write(folder, key, measured)
