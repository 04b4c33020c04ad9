"""What is done of a grid, what it will still take, and what may be cleaned away."""

from pathlib import Path
from typing import Any

from results import store
from runners import checkpoint, claims
from runners.plan import Planned


def state_of(folder: Path) -> tuple[str, str]:
    """Return a cell's state, ``done``, ``failed``, ``damaged``, ``newer``, ``running`` or ``waiting``, and what more there is to say; its files are read."""
    try:
        result = store.read_result(folder)
        if result is not None:
            store.verify(folder, result)
            return "done", ""
    except store.DamagedError as error:
        return "damaged", str(error)
    except store.NewerError as error:
        return "newer", str(error)
    error_text = store.read_error(folder)
    if error_text is not None:
        return "failed", store.first_line(error_text)
    owner = claims.owner_of(folder)
    if owner is not None and not claims.is_stale(folder):
        return "running", f"process {owner.pid} on {owner.host}"
    return "waiting", "from a checkpoint" if (folder / checkpoint.NAME).is_file() else ""


def of_grid(out: Path, grid: str) -> list[dict[str, str]]:
    """Return a row for each cell of a grid that was started: its identity, state and note.

    Raises:
        DamagedError: if the grid's own file is damaged.
        FileNotFoundError: if there is none.
    """
    rows = []
    for cell in store.read_plan(store.grid_folder(out, grid))["cells"]:
        state, text = ("n/a", cell["not_applicable"]) if cell["not_applicable"] else state_of(store.cell_folder(out, cell["cell_id"]))
        columns = {"cell": cell["cell_id"], "data set": cell["dataset"], "head": cell["head_label"], "d": str(cell["feature_dim"]), "seed": str(cell["seed"])}
        rows.append(columns | {"state": state, "": text})
    return rows


def seconds_left(plan: list[Planned], todo: list[Planned], out: Path, workers: int) -> float | None:
    """Estimate how long cells will take, from finished cells of the same kind (data set, backbone, recipe, imbalance factor), or None where there are none.

    Args:
        plan: all cells of the grid.
        todo: those that are left.
        out: folder of the runs.
        workers: that share them.
    """
    kinds: dict[tuple[Any, ...], list[float]] = {}
    for planned in plan:
        try:
            result = store.read_result(store.cell_folder(out, planned.cell_id))
        except (store.DamagedError, store.NewerError):
            continue
        if result is not None:
            kinds.setdefault(_kind(planned), []).append(result["train_seconds"])
    known = [sum(kinds[_kind(p)]) / len(kinds[_kind(p)]) for p in todo if _kind(p) in kinds]
    return sum(known) / len(known) * len(todo) / workers if known else None


def _kind(planned: Planned) -> tuple[Any, ...]:
    return tuple(planned.facts[key] for key in ("dataset", "backbone", "recipe_hash", "imbalance_factor"))


def clean(out: Path) -> list[Path]:
    """Remove stale claims, checkpoints of cells that are done, and leftovers of writes that were cut off; return what was removed. Never a result."""
    removed = []
    for folder in sorted(path for path in (out / "cells").glob("*") if path.is_dir()):
        if (folder / claims.NAME).exists() and not claims.is_stale(folder):
            continue
        leftovers = [path for path in folder.glob(".*") if path.is_file()]
        ended = (folder / "result.json").is_file()
        for path in [folder / claims.NAME, *([folder / checkpoint.NAME] if ended else []), *leftovers]:
            if path.exists():
                path.unlink()
                removed.append(path)
    return removed
