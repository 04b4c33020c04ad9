"""A grid from its arguments to its trained cells."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from headbench.core.errors import UserError, note
from headbench.core.folders import DEFAULT, expanded, from_environment
from headbench.heads import HEADS
from headbench.heads.geometry import cache
from headbench.results import store
from headbench.runners.execution import plan, provenance, queue, workers
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.progress import Display
from headbench.runners.execution.queue import Events, Way
from headbench.runners.execution.workers import Job
from headbench.runners.grid import config, overrides
from headbench.runners.grid.config import Grid
from headbench.runners.training import hardware
from headbench.runners.training.hardware import Hardware


@dataclass(frozen=True)
class Launch:
    """A grid that is ready to be trained.

    Attributes:
        grid: as it was understood.
        plan: all of its cells.
        wanted: those that ``--where`` chose.
        todo: those of them that have not ended yet.
        workers: processes that share them.
        machine: of this process.
        job: for the workers.
    """

    grid: Grid
    plan: list[Planned]
    wanted: list[Planned]
    todo: list[Planned]
    workers: int
    machine: Hardware
    job: Job


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


def prepare(
    *,
    grid: str | dict[str, Any],
    changes: list[str],
    name: str | None,
    where: list[str],
    data: Path | None,
    out: Path,
    workers: int | None,
    threads: int | None,
    device: str,
    precision: str,
    plugins: list[Path],
    keep_weights: bool,
    retry_failed: bool,
    wait: bool = True,
) -> Launch:
    """Read a grid, resolve and check all of its cells, and find what is left to train.

    The arguments are those of ``bench.py run``.

    Raises:
        UserError: for anything that is wrong with them.
    """
    contents, place = config.read_grid(grid)
    written = config.parse_grid(contents, place)
    contents = overrides.derive(contents, overrides.assignments(changes, "--set"), name)
    if precision != "auto" and name is None:
        contents["name"] = f"{contents['name']}+{precision}"
    parsed = config.parse_grid(contents, place)
    if changes and written.overrides:
        config.expand(written, precision, place)
    cells = config.expand(parsed, precision, place, derived=bool(changes))
    chosen = {id(cell) for cell in overrides.choose(cells, overrides.assignments(where, "--where"))}
    root = data_folder(data)
    cache.cache_folder()
    team, threads = hardware.share(workers, threads, len(cells), device)
    machine = hardware.set_up(device, threads, precision)
    planned = plan.make(cells, root, machine)
    wanted = [p for p in planned if id(p.cell) in chosen]
    todo = queue.pending(wanted, out, retry_failed=retry_failed)
    if todo:
        for line in _moved_sources(_refuse_mixture(parsed.name, planned, out, machine)):
            note(line)
    ids, team = frozenset(p.cell_id for p in todo), min(team, max(len(todo), 1))
    job = Job(
        contents,
        place,
        tuple(plugins),
        root,
        out,
        ids,
        machine.device.type,
        threads,
        precision,
        keep_weights,
        wait,
        team,
    )
    return Launch(parsed, planned, wanted, todo, team, machine, job)


def _refuse_mixture(grid: str, planned: list[Planned], out: Path, machine: Hardware) -> list[dict[str, Any]]:
    """Return the results of finished cells.

    Raises:
        UserError: where ``--precision auto`` would add cells to a grid whose finished ones were trained in another
            precision, on another machine.
    """
    results = []
    for cell in planned:
        result = queue.result_of(cell, out)
        if result is not None and result["provenance"]["precision"] != machine.precision:
            other = result["provenance"]["precision"]
            raise UserError(
                f"grid '{grid}': cell {cell.cell_id} was trained in {other}, and --precision auto is "
                f"{machine.precision} on this machine; go on where it is "
                f"{other}, or give --precision {machine.precision}, which makes a grid of its own, "
                f"'{grid}+{machine.precision}'"
            )
        results += [] if result is None else [result]
    return results


def _moved_sources(results: list[dict[str, Any]]) -> list[str]:
    """Return a line for each head whose source has changed since cells were finished, under the same version."""
    moved = Counter(result["facts"]["head"] for result in results if provenance.moved_source(result))
    return [
        f"the source of head '{head}' has changed since {count} finished cells of this grid were trained, and its "
        f"version is still {HEADS.get(head).version}; raise it if its numbers change (bench.py status names the cells)"
        for head, count in sorted(moved.items())
    ]


def execute(launch: Launch, console: Console) -> None:
    """Write what is planned and train what is left, in this process or in several workers."""
    grid, todo, job, machine = launch.grid, launch.todo, launch.job, launch.machine
    store.write_plan(store.grid_folder(job.out, grid.name), plan.resolved(grid, launch.plan))
    if todo:
        sharing = (
            f"{launch.workers} workers, threads: {machine.threads} each"
            if launch.workers > 1
            else f"threads: {machine.threads}"
        )
        console.print(
            f"{grid.name}: {len(todo)} cells to train on {machine.device.type}, {sharing}, {machine.precision}"
        )
    queue.clear_failures(todo, job.out)
    ended = sum(p.not_applicable is None for p in launch.wanted) - len(todo)
    with Display(console, len(todo), ended) as display:
        if launch.workers > 1:
            workers.run(job, todo, launch.workers, display)
        else:
            queue.run(
                todo,
                Way(
                    job.out, machine, display, job.keep_weights, job.wait, lambda planned: _apart(job, planned, display)
                ),
            )


def _apart(job: Job, planned: Planned, events: Events) -> None:
    """Train one cell in a process of its own, unless another process has it by then."""
    workers.run(replace(job, cell_ids=frozenset({planned.cell_id}), wait=False), [planned], 1, events)
