"""Runs as two tables in CSV: a row per cell, and a row per cell and epoch."""

from pathlib import Path

import pandas as pd

from headbench.core.errors import UserError
from headbench.results import store
from headbench.results.derived import as_csv
from headbench.results.export.runs import Run


def write(runs: list[Run], folder: Path, grid: str) -> str:
    """Write ``cells.csv`` and ``epochs.csv``; return what they are."""
    cells = [
        {"run": run.name, "cell_id": run.cell_id}
        | run.parameters
        | {f"{part}_{name}": number for part, own in run.metrics.items() for name, number in own.items()}
        for run in runs
    ]
    epochs = [run.history.assign(run=run.name, cell_id=run.cell_id) for run in runs]
    histories = pd.concat(epochs, ignore_index=True) if epochs else pd.DataFrame()
    first = [name for name in ("run", "cell_id", "epoch") if name in histories]
    ordered = histories[[*first, *(name for name in histories if name not in first)]]
    for file, frame in {"cells.csv": pd.DataFrame(cells), "epochs.csv": ordered}.items():
        store.write_text(folder / file, as_csv(frame))
    return f"{folder / 'cells.csv'}, {folder / 'epochs.csv'}"


def refuse_others(runs: list[Run], folder: Path) -> None:
    """Raise UserError for a folder whose tables are no export of these cells."""
    for file in (folder / "cells.csv", folder / "epochs.csv"):
        if not file.exists():
            continue
        try:
            there = set(pd.read_csv(file, usecols=["cell_id"], dtype=str)["cell_id"])
        except (ValueError, OSError):  # pandas' errors are of the first
            there = {"of another table"}
        # The epochs of cells that were imported have no row.
        if there and not there & {run.cell_id for run in runs}:
            raise UserError(f"export: {file} is there already, and has no cell of this grid; give another --to")
