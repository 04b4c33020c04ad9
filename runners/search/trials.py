"""Cells of a search without its driver, for an Optuna loop of one's own: judged on validation alone."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console

from headbench.core.errors import UserError
from headbench.results import columns, store
from headbench.runners.execution import earlier, launch, plan, queue
from headbench.runners.execution.options import RunOptions
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.progress import Display
from headbench.runners.grid import overrides


def run(options: RunOptions, console: Console) -> pd.DataFrame:
    """Train cells of a grid as a search does, and return a row per cell and selection: its axes, ``cell_id``,
    ``status``, ``error``, ``selection``, ``epoch``, and what is measured on validation.

    Nothing is written but the cells themselves; a finished one is not trained again.

    Raises:
        UserError: for anything that is wrong with what is asked for, before anything is trained.
    """
    if options.tuned is not None:
        raise UserError("purpose 'tune' and tuned: a search begins with the grid's own values; leave one of them out")
    grid, cells = launch.asked(options)
    chosen = overrides.choose(cells, overrides.assignments(options.where, "--where"))
    machine, job = launch.crew(options, len(cells))
    outlines = plan.Outlines(job.root)
    planned = plan.make([cell.model_copy(update={"purpose": "tune"}) for cell in chosen], outlines)
    check_validation(planned, grid.name)
    todo = queue.pending(planned, job.out, retry_failed=options.retry_failed)
    finished = queue.finished([one.cell_id for one in planned], job.out)
    earlier.tell_moved(finished)
    if todo:
        earlier.check_precision(grid.name, finished, machine)
    launch.make_folder(job.out)
    queue.clear_endings(todo, job.out)
    job = launch.manned(job, machine, len(todo), todo, outlines)
    with Display(console, len(todo), len(planned) - len(todo)) as display:
        launch.executor(job, machine).run(todo, display)
    return pd.DataFrame([row for one in planned for row in _rows(one, options)])


def check_validation(planned: Sequence[Planned], grid: str) -> None:
    """Raise UserError for a cell without a validation part, by which it would be judged."""
    for one in planned:
        if not one.facts["n_val"]:
            raise UserError(
                f"grid '{grid}': {one.cell.dataset_label} has no validation part here (val_fraction 0), and a search "
                "must not see the test part; --set val_fraction=0.1 holds one out"
            )


def _rows(one: Planned, options: RunOptions) -> list[dict[str, Any]]:
    common = {"cell_id": one.cell_id} | {axis.name: one.facts[axis.name] for axis in columns.AXES}
    if one.not_applicable:
        return [common | {"status": "not_applicable", "error": one.not_applicable}]
    folder = store.cell_folder(options.out, one.cell_id)
    result = store.read_result(folder)
    if result is None:
        status, error = store.read_ending(folder) or ("failed", "it has no result")
        return [common | {"status": status, "error": error}]
    rows = result["selections"].items()
    return [common | {"status": "done", "error": None, "selection": name} | measured for name, measured in rows]
