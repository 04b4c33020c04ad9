"""Scores from Python as a cell: :func:`headbench.import_scores`."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from headbench import results
from headbench.core.errors import UserError, suggest
from headbench.runners.exchange import imported, reference, score_files
from headbench.runners.python import given

if TYPE_CHECKING:
    import pandas as pd

# What is said of the training.
ABOUT = tuple(field.name for field in fields(imported.About) if field.name not in {"head_label", "seed"})


# Whatever a caller has numpy raise, as an underflow, which is as good as zero.
@np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")
def import_scores(
    test: score_files.Arrays,
    val: score_files.Arrays | None,
    about: dict[str, Any],
    training: dict[str, Any],
    place: dict[str, Any],
) -> "pd.DataFrame":
    """Make a finished cell of scores and return its rows, see :func:`headbench.import_scores`.

    Args:
        test: scores and labels of the test images.
        val: of held-out images.
        about: head, seed and what else is said of the training.
        training: ``kind``, ``native_scale`` and ``class_counts``.
        place: ``dataset``, ``grid``, ``out`` and ``data``.
    """
    kind, unknown = training["kind"], sorted(about.keys() - {*ABOUT, "head_label", "seed"})
    if unknown:
        raise UserError(f"import_scores: unknown argument '{unknown[0]}'; {suggest(unknown[0], ABOUT)}")
    if kind not in (None, *score_files.KINDS):
        raise UserError(f"import_scores: kind: unknown '{kind}'; {suggest(str(kind), score_files.KINDS)}")
    if not isinstance(place["dataset"], str):
        raise UserError(
            "import_scores: dataset: a name, or '{name: folder, path: flowers, size: 32}' as a text, not a "
            f"{type(place['dataset']).__name__}"
        )
    if not isinstance(place["grid"], str):
        raise UserError(f"import_scores: grid: {given.said(place['grid'])} is no name of a grid")
    out, data = given.folder("import_scores: out", place["out"]), place["data"]
    root = None if data is None else given.path("import_scores: data", data)
    counts = given.by_class("import_scores: class_counts", training["class_counts"])
    read, told = score_files.of_arrays(test, val, **training | {"class_counts": counts})
    grid = given.plain(place["grid"])
    dataset = reference.named(place["dataset"])
    found = imported.write(told, read, dataset, imported.About(**_plain(about)), out, grid, root)
    rows = results.load(out, grid)
    return rows[rows["cell_id"] == found.cell_id].reset_index(drop=True)


def _plain(about: dict[str, Any]) -> dict[str, Any]:
    """Return numpy's numbers, as loops over seeds have them, and texts of any kind as Python's."""
    return {name: given.plain(value) if isinstance(value, np.generic | str) else value for name, value in about.items()}
