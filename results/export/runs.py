"""The finished cells of a grid as runs, which every tool that shows trainings takes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from headbench.core import escape
from headbench.core.errors import DamagedError
from headbench.results import columns, grid_rows, store

# What a history has beside its numbers.
WORDS = ("epoch", "stage")
# What a run tells as its parameters beside the axes of its grid.
PARAMETERS = "head head_options epochs augmentation n_train device precision git_commit health".split()
Value = str | int | float


@dataclass(frozen=True)
class Run:
    """One finished cell.

    Attributes:
        cell_id: its identity.
        name: in words, unique within the grid, and a name for a folder.
        parameters: what it was trained with, by the names of columns.
        started: seconds since 1970.
        history: a row per epoch: ``epoch``, and numbers by name; no rows where the cell has no history.
        metrics: of each selection by name, those that are known.
    """

    cell_id: str
    name: str
    parameters: dict[str, Value]
    started: float
    history: pd.DataFrame
    metrics: dict[str, dict[str, float]]

    def epochs(self) -> Iterator[tuple[int, float, dict[str, float]]]:
        """Yield each epoch with the time of its end, in seconds since 1970, and the numbers that are known of it."""
        seconds = self.started
        for row in self.history.to_dict("records"):
            known = {str(name): float(value) for name, value in row.items() if name not in WORDS and pd.notna(value)}
            seconds += known.get("seconds", 0.0)
            yield int(row["epoch"]), seconds, known


def of_grid(out: Path, grid: str) -> tuple[list[Run], list[str]]:
    """Return the finished cells of a grid as runs, and a line for each cell or history that is damaged.

    Raises:
        FileNotFoundError: if the grid has no folder there.
        DamagedError: if the grid's own file is damaged.
    """
    rows = grid_rows.load(out, grid)
    done = rows[rows["status"] == "done"]
    varied = [axis for axis in columns.AXES if axis.role == "axis" or done[axis.name].nunique() > 1]
    runs, damaged = list[Run](), [f"left out: {line}" for line in grid_rows.damaged(rows, out)]
    for cell_id, own in done.groupby("cell_id", sort=False):
        first = own.iloc[0]
        words = [*(f"{axis.title or axis.name}={axis.shown(first[axis.name])}" for axis in varied), str(cell_id)]
        history = _history(store.cell_folder(out, str(cell_id)), damaged)
        begun = pd.to_datetime(first["started_at"], errors="coerce", utc=True)
        started = 0.0 if pd.isna(begun) else begun.timestamp()
        name = escape.file_name("-".join(words).replace(" ", "-").lower())
        runs.append(Run(str(cell_id), name, _parameters(first), started, history, _metrics(own)))
    return runs, damaged


def _history(folder: Path, damaged: list[str]) -> pd.DataFrame:
    """Return the history of a cell, without rows where it has none, as one that was imported, or it is damaged."""
    try:
        result = store.read_result(folder)
        if result is None or "history.csv" not in result["sha256"]:
            return pd.DataFrame()
        history = pd.read_csv(store.read_file(folder, "history.csv"))
        numbers: pd.DataFrame = history.apply(pd.to_numeric, errors="coerce").assign(epoch=history["epoch"].astype(int))
    except DamagedError as damage:
        damaged.append(f"{damage}; its history is left out")
    except (ValueError, LookupError):
        damaged.append(f"{folder / 'history.csv'} is no history; it is left out")
    else:
        return numbers
    return pd.DataFrame()


def _parameters(row: pd.Series) -> dict[str, Value]:
    """Return what a cell was trained with; numbers are numbers, whole ones where all of the column are."""
    shown = [*columns.names("comparison", "axis"), *PARAMETERS]
    kinds: dict[str, Callable[[Any], Value]] = {"text": str, "integer": int}
    return {name: kinds.get(columns.NAMED[name].kind, float)(row[name]) for name in shown if pd.notna(row[name])}


def _metrics(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the numbers of a cell's selections, and what the training cost as those of ``cost``."""
    measured = [
        column.name for column in columns.COLUMNS if column.role in {"metric", "interval"} and column.kind != "text"
    ]
    cost = [column.name for column in columns.COLUMNS if column.role == "run" and column.kind != "text"]
    found = {str(row["selection"]): _known(row, measured) for _, row in rows.iterrows()}
    return found | {"cost": _known(rows.iloc[0], cost)}


def _known(row: pd.Series, names: list[str]) -> dict[str, float]:
    return {name: float(row[name]) for name in names if pd.notna(row[name])}
