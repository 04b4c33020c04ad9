"""Rows of a grid with what its cells say of other data sets."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from headbench.core.errors import DamagedError
from headbench.results import columns, store
from headbench.results.derived import as_csv
from headbench.results.numbers.ood import METRICS
from headbench.results.ood import cell_files

# Those of a plan, see :class:`headbench.results.schema.OodSet`.
Sets = Sequence[dict[str, Any]]
# What is the same in every row.
CONSTANT = {"status", "error"}


def means(folder: Path, sets: Sets) -> dict[str, Any]:
    """Return a cell's columns of the role ``ood``: the names of the sets and the means over them, NaN where the cell
    lacks one of them; nothing where a grid names none.
    """
    if not sets:
        return {}
    found = [_measured(folder, one["key"], []) for one in sets]
    values = {metric: [math.nan if one.get(metric) is None else one[metric] for one in found] for metric in METRICS}
    return {"ood": ", ".join(one["label"] for one in sets)} | {
        metric: sum(measured) / len(sets) for metric, measured in values.items()
    }


def by_set(rows: pd.DataFrame, out: Path, sets: Sets) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of finished cells' last epochs once for each set, with its label and what was measured on it, and
    a line for each file that is damaged.

    Args:
        rows: of a grid.
        out: folder of the runs.
        sets: of the grid.
    """
    last = columns.finished(rows)
    parts, damaged = [last.iloc[:0]], list[str]()
    for one in sets:
        found = [_measured(store.cell_folder(out, cell_id), one["key"], damaged) for cell_id in last["cell_id"]]
        measured = pd.DataFrame(found, index=last.index, columns=list(METRICS), dtype=float)
        parts.append(last.assign(ood=one["label"], **{name: measured[name] for name in METRICS}))
    return pd.concat(parts[1:] or parts, ignore_index=True), damaged


def files(measured: pd.DataFrame) -> dict[str, bytes]:
    """Return the content of ``ood.csv``: which cell, which other data set, and the metrics."""
    shown = [name for name in columns.names("bookkeeping", "comparison", "axis", "ood") if name not in CONSTANT]
    return {"ood.csv": as_csv(measured[shown]).encode()}


def _measured(folder: Path, key: str, damaged: list[str]) -> dict[str, Any]:
    try:
        found = cell_files.read(folder, key)
    except DamagedError as error:
        damaged.append(f"{error}; its values count as not computed")
        return {}
    return {} if found is None else dict(found["metrics"])
