"""What a folder of runs holds of a grid already, compared with what is to be trained next to it."""

from collections import Counter
from pathlib import Path
from typing import Any

from headbench.core.errors import DamagedError, UserError, note
from headbench.heads import HEADS
from headbench.results import store
from headbench.runners.execution import plan
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Finished
from headbench.runners.training.hardware import Hardware


def plan_of(out: Path, grid: str) -> dict[str, Any]:
    """Return an earlier plan of a grid, one without cells where there is none that can be read."""
    try:
        return store.read_plan(store.grid_folder(out, grid))
    except (FileNotFoundError, DamagedError):
        return {"cells": []}


def check_precision(grid: str, finished: dict[str, Finished], machine: Hardware) -> None:
    """Raise UserError where ``--precision auto`` would add cells to finished ones that another machine trained in
    another precision.
    """
    for cell_id, other in finished.items():
        if other.precision != machine.precision:
            raise UserError(
                f"grid '{grid}': cell {cell_id} was trained in {other.precision}, and --precision auto is "
                f"{machine.precision} on this machine; go on where it is "
                f"{other.precision}, or give --precision {machine.precision}, which makes a grid of its own, "
                f"'{grid}+{machine.precision}'"
            )


def tell_moved(finished: dict[str, Finished]) -> None:
    """Say of which heads the source has changed, under the same version, since finished cells were trained."""
    for head, count in sorted(Counter(cell.head for cell in finished.values() if cell.moved_source).items()):
        note(
            f"the source of head '{head}' has changed since {count} finished cells of this grid were trained, and its "
            f"version is still {HEADS.get(head).version}; raise it if its numbers change (bench.py status names the "
            "cells)"
        )


def imported(entries: list[dict[str, Any]], out: Path) -> list[dict[str, Any]]:
    """Return the cells of a plan that were imported; one whose folder was removed is taken out so, since no run could
    train it. What is only away stays: behind a link, or where no cell has a folder.
    """
    there = store.begun(out)
    return [entry for entry in entries if entry.get("imported") and (entry["cell_id"] in there or not there)]


def refuse_imported(grid: str, todo: list[Planned], imported: list[dict[str, Any]]) -> None:
    """Raise UserError for a cell that the grid's tables would average with an imported one of the same head."""
    by_experiment = plan.by_experiment(imported)
    for planned in todo:
        other = plan.clash(by_experiment, {"cell_id": planned.cell_id} | planned.facts)
        if other is not None:
            raise UserError(
                f"grid '{grid}': head '{planned.cell.head_label}' was imported into it (cell {other['cell_id']}), and "
                f"tables would average both; train it under another --name"
            )


def tell_untried(count: int) -> None:
    """Say how many cells that failed or were pruned before are not tried again."""
    if count:
        cells = f"{count} cells" if count > 1 else "1 cell"
        note(f"{cells} failed or pruned before, and not tried again; --retry-failed does (bench.py status says why)")


def tell_unlisted(out: Path, grid: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """Say how many imported cells were taken out, and how many finished cells of an earlier grid of the same name its
    tables have no longer.
    """
    gone = {entry["cell_id"] for entry in before} - {entry["cell_id"] for entry in after}
    if taken := sum(entry["cell_id"] in gone for entry in before if entry.get("imported")):
        note(f"grid '{grid}': imported cells whose folder was removed are in it no longer: {taken}")
    finished = [cell_id for cell_id in gone if (store.cell_folder(out, cell_id) / "result.json").is_file()]
    if finished:
        count = f"{len(finished)} finished cells are" if len(finished) > 1 else "1 finished cell is"
        note(
            f"grid '{grid}' was another one before: {count} in its tables no longer, and kept in {out / store.CELLS}; "
            "--name makes a grid of its own"
        )
