"""What is done of a grid, what it will still take, and what may be cleaned away."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from headbench.core.errors import DamagedError, NewerError
from headbench.results import columns, store
from headbench.runners.execution import attempts, locks, provenance
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Finished
from headbench.runners.training import checkpoint


def state_of(folder: Path, watch: locks.Watch, whole: bool = True) -> tuple[str, str]:
    """Return a cell's state, ``done``, ``failed``, ``pruned``, ``damaged``, ``newer``, ``running`` or ``waiting``, and
    what more there is to say; all its files are read, or with ``whole=False`` its result alone.
    """
    try:
        result = store.read_result(folder)
        if result is not None:
            if whole:
                store.verify(folder, result)
            return "done", "trained by another source of its head" if provenance.moved_source(result) else ""
    except DamagedError as error:
        return "damaged", str(error)
    except NewerError as error:
        return "newer", str(error)
    ending = store.read_ending(folder)
    if ending is not None:
        return ending
    if watch.is_held(folder):
        owner, epochs = locks.owner_of(folder), attempts.epochs(folder)
        held = owner.words() if owner else "by a process that cannot be read"
        return "running", f"{held}, {epochs} epochs done"
    return "waiting", "from a checkpoint" if (folder / checkpoint.NAME).is_file() else ""


def told(cells: list[dict[str, Any]], out: Path, whole: bool = True) -> dict[str, Any]:
    """Return for scripts how many cells are in each state, and each with its axes, its state and what more there is to
    say.

    Args:
        cells: as ``grid.yaml`` lists them.
        out: folder of the runs.
        whole: read all files of the cells, as :func:`state_of` does.
    """
    rows, watch = list[dict[str, Any]](), locks.Watch()
    for cell in cells:
        reason = cell["not_applicable"]
        state, note = ("n/a", reason) if reason else state_of(store.cell_folder(out, cell["cell_id"]), watch, whole)
        axes = {axis.name: cell[axis.name] for axis in columns.AXES}
        rows.append({"cell_id": cell["cell_id"]} | axes | {"state": state, "note": note})
    return {"counts": Counter(row["state"] for row in rows), "cells": rows}


def of_grid(out: Path, grid: str) -> list[dict[str, str]]:
    """Return a row for each cell of a grid that was started: its identity, state and note.

    Raises:
        DamagedError: if the grid's own file is damaged.
        FileNotFoundError: if there is none.
    """
    cells = store.read_plan(store.grid_folder(out, grid))["cells"]
    varied = columns.varied(cells)
    return [
        {"cell": row["cell_id"]}
        | {column.heading: column.shown(row[column.name]) for column in varied}
        | {"state": row["state"], "": row["note"]}
        for row in told(cells, out)["cells"]
    ]


def hosts(out: Path, cell_ids: Iterable[str]) -> Counter[str]:
    """Return how many of some cells the processes of each machine hold."""
    owners = (locks.owner_of(store.cell_folder(out, cell_id)) for cell_id in cell_ids)
    return Counter(owner.place.host for owner in owners if owner is not None)


def seconds_left(
    entries: list[dict[str, Any]], finished: dict[str, Finished], todo: list[Planned], workers: int
) -> float | None:
    """Estimate how long cells will take, from the epochs of finished ones of the same comparison; None without any.

    Args:
        entries: the cells of the grid, as ``grid.yaml`` lists them.
        finished: those of them that are done, by ``cell_id``.
        todo: those that are left.
        workers: that share them.
    """
    kinds: dict[tuple[Any, ...], list[float]] = {}
    for entry in entries:
        done = finished.get(entry["cell_id"])
        if done is not None and done.seconds is not None:
            kinds.setdefault(_kind(entry), []).append(done.seconds / entry["epochs"])
    means = {kind: sum(seconds) / len(seconds) for kind, seconds in kinds.items()}
    known = [p.facts["epochs"] * means[_kind(p.facts)] for p in todo if _kind(p.facts) in means]
    return sum(known) / len(known) * len(todo) / workers if known else None


def _kind(facts: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(facts[name] for name in columns.COMPARISON)


def clean(out: Path) -> list[Path]:
    """Remove stale locks, what only a running cell needs of cells that are done, and leftovers of writes that were cut
    off; return what was removed.

    Never a result, and nothing of a cell that another process has: each cell is locked meanwhile.
    """
    removed, watch = [], locks.Watch()
    for folder in sorted(path for path in (out / store.CELLS).glob("*") if path.is_dir()):
        lock = folder / locks.NAME
        stale = [lock] if os.path.lexists(lock) else []
        if not stale and not _unneeded(folder):
            continue
        with locks.locked(folder, watch) as mine:
            if mine is not None:
                unneeded = _unneeded(folder)
                for path in unneeded:
                    path.unlink(missing_ok=True)
                removed += stale + unneeded
    return removed


def _unneeded(folder: Path) -> list[Path]:
    """Return the files of a cell that nobody needs, unless a process has the cell."""
    ended = (folder / "result.json").is_file()
    named = [
        folder / name for name in ([locks.OLD_NAME, checkpoint.NAME, attempts.NAME] if ended else [locks.OLD_NAME])
    ]
    # Other hidden files are the user's.
    cut_off = [path for path in folder.glob(".*") if store.TEMPORARY.fullmatch(path.name)]
    return [path for path in [*named, *cut_off] if path.is_file()]
