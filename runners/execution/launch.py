"""A grid from its arguments to its trained cells."""

import copy
import importlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from headbench.backbones import BACKBONES
from headbench.core import escape
from headbench.core.alone import alone
from headbench.core.errors import UserError, is_full, near
from headbench.core.folders import DEFAULT, expanded, from_environment
from headbench.data import DATASETS
from headbench.heads import HEADS
from headbench.heads.geometry import cache
from headbench.results import store
from headbench.runners.execution import earlier, plan, queue
from headbench.runners.execution.executors import Executor, InProcess, Processes
from headbench.runners.execution.options import RunOptions, commands, words
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.progress import Display
from headbench.runners.execution.queue import Finished
from headbench.runners.execution.sharing import memory
from headbench.runners.execution.workers import Job, data_of
from headbench.runners.grid import config, overrides, tuned
from headbench.runners.grid.cells import Cell
from headbench.runners.grid.config import Grid
from headbench.runners.ood import sets
from headbench.runners.ood.measure import complete
from headbench.runners.training import hardware
from headbench.runners.training.classifier import divided
from headbench.runners.training.hardware import Hardware, Share


@dataclass(frozen=True)
class Launch:
    """A grid that is ready to be trained.

    Attributes:
        grid: as it was understood.
        cells: all of its cells.
        planned: of these, what was planned now.
        entries: what ``grid.yaml`` lists: all of its cells that were ever planned.
        wanted: those that ``--where`` and ``--cell`` chose.
        finished: those that are done, by ``cell_id``.
        todo: those of the wanted that have not ended yet, or are to be tried again.
        again: those of them that failed or were pruned before.
        untried: how many others failed or were pruned before, and are not tried again.
        machine: of this process.
        job: how they are trained.
        command: the words that asked for it.
    """

    grid: Grid
    cells: list[Cell]
    planned: list[Planned]
    entries: list[dict[str, Any]]
    wanted: list[Planned]
    finished: dict[str, Finished]
    todo: list[Planned]
    again: list[Planned]
    untried: int
    machine: Hardware
    job: Job
    command: list[str]


def data_folder(given: Path | None) -> Path:
    """Return the data folder; only the default one is made.

    Raises:
        UserError: if the folder that the user named does not exist, or none is named and there is no home.
    """
    named = given or from_environment("HEADBENCH_DATA")
    if named is None:
        default = expanded(DEFAULT)
        default.mkdir(parents=True, exist_ok=True)
        return default
    if not named.is_dir():
        raise UserError(f"the data folder {named} does not exist (--data, or $HEADBENCH_DATA)")
    return named


def prepare(options: RunOptions) -> Launch:
    """Read a grid, resolve and check its cells, plan those that are wanted, and find what is left to train.

    Raises:
        UserError: for anything that is wrong with what is asked for.
    """
    grid, cells = asked(options)
    named = sets.named(grid, cells)
    chosen = overrides.choose(cells, overrides.assignments(options.where, "--where"))
    machine, job = crew(options, len(cells))
    partial = options.cells or len(chosen) < len(cells)
    before = earlier.plan_of(options.out, grid.name)["cells"] if partial else []
    outlines = plan.Outlines(job.root)
    planned = _planned(chosen, options.cells, outlines, before)
    ood = sets.loaded(named, [p.cell for p in planned], outlines.data)
    if options.tuned is not None:
        tuned.check([p.cell for p in planned if p.not_applicable is None], options.tuned)
    wanted = [p for p in planned if not options.cells or p.cell_id in options.cells]
    entries = plan.listed(planned, cells, before)
    ids = [entry["cell_id"] for entry in entries if entry["not_applicable"] is None]
    finished = queue.finished(ids, options.out)
    endings = queue.endings(ids, options.out)
    ended = {*finished, *([] if options.retry_failed else endings)}
    todo = [p for p in wanted if p.not_applicable is None and p.cell_id not in ended]
    again = [p for p in todo if p.cell_id in endings]
    earlier.tell_moved(finished)
    untried = len({p.cell_id for p in wanted}.intersection(endings, ended))
    if todo:
        earlier.check_precision(grid.name, finished, machine)
        entered = before or earlier.plan_of(options.out, grid.name)["cells"]
        earlier.refuse_imported(grid.name, todo, earlier.imported(entered, options.out))
    job = replace(manned(job, machine, len(todo), todo, outlines), ood=ood)
    return Launch(grid, cells, planned, entries, wanted, finished, todo, again, untried, machine, job, words(options))


def crew(options: RunOptions, cells: int) -> tuple[Hardware, Job]:
    """Return this process's share of the machine, and how cells are trained.

    Args:
        options: as they are asked for.
        cells: in all.

    Raises:
        UserError: if there is no such data folder or device.
    """
    root = data_folder(options.data)
    cache.cache_folder()
    team, threads = hardware.share(options.workers, options.threads, cells, options.device, options.devices)
    compiled = options.compile == "on"
    machine = hardware.set_up(Share(options.device, threads, options.precision, compiled=compiled))
    # One precision for all workers, whatever cards they have.
    share = Share(machine.device.type, threads, machine.precision, team, options.readers, options.devices, compiled)
    job = Job(tuple(options.plugins), root, options.out, share, options.keep_weights, options.wait)
    return machine, replace(job, checkpoint_minutes=options.checkpoint_minutes)


def manned(job: Job, machine: Hardware, most: int, cells: Sequence[Planned], outlines: plan.Outlines) -> Job:
    """Return a job with as many of its workers as there is work for, and memory.

    Args:
        job: with the workers that are asked for.
        machine: of this process.
        most: cells that can be trained at once.
        cells: that are trained, or others as large.
        outlines: of their data.

    Raises:
        UserError: where there are several processes, for a head that they cannot import.
    """
    workers = min(job.share.workers, max(most, 1))
    workers = memory.fitting(workers, job.share.devices, cells, outlines, machine) if cells else workers
    if max(workers, job.share.devices) > 1:
        _check_importable(cells)
    return replace(job, share=replace(job.share, workers=workers))


def _check_importable(cells: Sequence[Planned]) -> None:
    """Raise UserError for what was registered where other processes cannot find it: in a notebook, or by ``-c``."""
    if getattr(sys.modules.get("__main__"), "__file__", None):
        return
    for cell in (planned.cell for planned in cells):
        for registry, name in ((HEADS, cell.head), (BACKBONES, cell.backbone), (DATASETS, cell.dataset)):
            if registry[name].target.__module__ == "__main__":
                raise UserError(
                    f"{registry.kind} '{name}' is defined in this session, which no other process can import; give "
                    f"workers=1 and devices=1, or load it from a file by bench.py --plugin"
                )


def executor(job: Job, machine: Hardware) -> Executor:
    """Return what trains cells: this process, or workers where there are several, or several devices for each.

    Raises:
        UserError: if a package is missing that a cell needs only after its training.
    """
    try:
        importlib.import_module("relplot")
    except ImportError as error:
        raise UserError(
            f"nothing is trained, since what evaluates a trained network is not whole: {error}; install headbench "
            f"again with all that it requires"
        ) from None
    return Processes(job) if max(job.share.workers, job.share.devices) > 1 else InProcess(job, machine)


def asked(options: RunOptions) -> tuple[Grid, list[Cell]]:
    """Return the grid that is asked for, and its cells.

    Raises:
        UserError: for anything that is wrong with them.
    """
    contents, place = config.read_grid(options.grid)
    written = config.parse_grid(contents, place)
    contents = overrides.derive(contents, overrides.assignments(options.changes, "--set"), options.name)
    if options.precision != "auto" and options.name is None:
        contents = copy.copy(contents)  # a caller's own mapping, or one of a file, with the lines of its keys
        contents["name"] = f"{contents['name']}+{options.precision}"
    grid = config.parse_grid(contents, place)
    if options.changes and written.overrides:
        config.expand(written, options.precision, place)
    cells = config.expand(grid, options.precision, place, derived=bool(options.changes))
    if options.devices > 1:
        cells = [divided(cell, options.devices) for cell in cells]
        if options.name is None and any(cell.devices > 1 for cell in cells):
            grid = grid.model_copy(update={"name": f"{grid.name}+{options.devices}devices"})
    if options.tuned is None:
        return grid, cells
    # A folder of its own, whatever its name, beside that of the same cells with the grid's own values.
    named = grid.model_copy(update={"name": f"{grid.name}{store.TUNED}"})
    return named, tuned.apply(cells, tuned.read(options.tuned), options.tuned)


def _planned(
    cells: list[Cell], wanted: Sequence[str], outlines: plan.Outlines, before: list[dict[str, Any]]
) -> list[Planned]:
    """Return the plan of some cells; where identities are wanted that an earlier plan has, of no more than these.

    Raises:
        UserError: for an identity that no cell has, with one like it.
    """
    points = {entry.get("point") for entry in before if entry["cell_id"] in wanted}
    few = plan.make([cell for cell in cells if cell.point in points], outlines) if points else []
    if wanted and set(wanted) <= {p.cell_id for p in few}:
        return few
    planned = plan.make(cells, outlines)
    known = {p.cell_id for p in planned}
    for cell_id in wanted:
        if cell_id not in known:
            like = near(cell_id, known)
            meant = f"did you mean '{like}'? " if like else ""
            raise UserError(f"--cell: no cell '{cell_id}' here; {meant}--dry-run lists them")
    return planned


def _inapplicable(wanted: list[Planned]) -> list[str]:
    """Return a line for each head and reason why cells of it are not trained."""
    reasons = Counter((p.cell.head_label, p.not_applicable) for p in wanted if p.not_applicable is not None)
    return [f"not applicable: {head}, {count} cells: {reason}" for (head, reason), count in reasons.items()]


def write_plan(launch: Launch) -> None:
    """Write ``grid.yaml``, with the cells of the grid that others have planned or imported since this launch was
    prepared, and the commands that trained some of them.

    Where the same is there already, as the tasks of an array find it, none of them waits for the others.
    """
    out, name = launch.job.out, launch.grid.name
    folder = store.grid_folder(out, name)
    make_folder(folder)
    before = earlier.plan_of(out, name)
    if _plan_after(launch, before) != before:
        with alone(folder / ".lock"):
            before = store.read_or_set_aside(folder) or {"cells": []}
            after = _plan_after(launch, before)
            earlier.tell_unlisted(out, name, before["cells"], after["cells"])
            store.write_plan(folder, after)


def make_folder(folder: Path) -> None:
    """Make a folder of results, unless it is there.

    Raises:
        UserError: if there can be none; that the disk is full stays the system's error.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_full(error):
            raise
        raise UserError(f"--out: cannot make the folder {folder}: {error.strerror}; name another one") from None


def _plan_after(launch: Launch, before: dict[str, Any]) -> dict[str, Any]:
    """Return the contents of ``grid.yaml`` that follow from an earlier plan and a launch."""
    imported = earlier.imported(before["cells"], launch.job.out)
    entries = plan.listed(launch.planned, launch.cells, before["cells"]) + imported
    asked = commands(before, [launch.command] if launch.todo else [])
    return plan.resolved(launch.grid, entries, launch.job.ood) | asked


def execute(launch: Launch, console: Console, team: Executor | None = None) -> None:
    """Write what is planned and train what is left, by default in this process or in several workers.

    Args:
        launch: the grid.
        console: for how it goes on.
        team: trains the cells in another way, of which nothing is said here.
    """
    grid, todo, job, machine = launch.grid, launch.todo, launch.job, launch.machine
    earlier.tell_untried(launch.untried)
    write_plan(launch)
    workers = job.share.workers
    if todo and team is None:
        threads = (
            f"{workers} workers, threads: {machine.threads} each" if workers > 1 else f"threads: {machine.threads}"
        )
        spread = f", {job.share.devices} devices for each cell" if job.share.devices > 1 else ""
        console.print(
            f"{grid.name}: {len(todo)} cells to train on {machine.device.type}, {threads}{spread}, "
            f"{hardware.spelled(machine)}"
        )
    for line in _inapplicable(launch.wanted):
        console.print(escape.terminal(line), soft_wrap=True)
    queue.clear_endings(launch.again, job.out)
    ended = sum(p.not_applicable is None for p in launch.wanted) - len(todo)
    with Display(console, len(todo), ended) as display:
        (team or executor(job, machine)).run(todo, display)
    for line in _completed(launch):
        console.print(escape.terminal(line), soft_wrap=True)


def _completed(launch: Launch) -> list[str]:
    """Measure finished cells on other data sets that they lack, each in the precision that it was trained in; return
    lines on those where that is not possible.
    """
    lines = []
    for precision in sorted({cell.precision for cell in launch.finished.values()}):
        done = {
            p.cell_id: p.cell
            for p in launch.wanted
            if p.cell_id in launch.finished and launch.finished[p.cell_id].precision == precision
        }
        data = data_of(launch.job, replace(launch.machine, bf16=precision == "bf16"))
        lines += complete(done, launch.job.ood, data, launch.job.out)
    return lines
