"""The schedule of a grid's cells: what is finished is skipped, what fails is recorded, what another process has is left
to it, the rest goes on.
"""

import os
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from headbench.core.errors import DamagedError, PrunedError, StoppedError, is_full, note, reason, typed_reason
from headbench.results import store
from headbench.runners.devices.group import Group
from headbench.runners.devices.helpers import DeviceLostError
from headbench.runners.execution import attempts, cell, locks, plan, provenance
from headbench.runners.execution.options import MINUTES
from headbench.runners.execution.owner import Owner
from headbench.runners.execution.plan import Planned
from headbench.runners.ood import sets
from headbench.runners.ood.sets import OodSet
from headbench.runners.training.checkpoint import Checkpoints
from headbench.runners.training.data import Data
from headbench.runners.training.hardware import Hardware, out_of_memory
from headbench.runners.training.history import Glimpse

# Between two looks at cells that other processes have: the first pause, the longest, and the factor between two in
# which nothing happened. It is no less than the first for each cell that is looked at, so that a hundred processes that
# wait for a hundred cells are no load for a file server.
PAUSE, LONGEST_PAUSE, BACK_OFF = 0.5, 30.0, 1.25


class Outcome(Enum):
    """What an attempt at a cell has come to; ``AGAIN``: this process is to try the cell again, after others;
    ``REQUEUED``: another process has it, or is to try it.
    """

    DONE = "done"
    FAILED = "failed"
    PRUNED = "pruned"
    AGAIN = "again"
    REQUEUED = "requeued"


class Events(Protocol):
    """Who is told how the cells go on."""

    def started(self, planned: Planned) -> None:
        """A cell begins."""

    def glimpse(self, planned: Planned, seen: Glimpse) -> None:
        """An epoch of a cell runs; where a cell goes on from its checkpoint, the first one is not that of epoch 1."""

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        """An epoch of a cell is finished; ``PrunedError`` ends the cell."""

    def finished(self, planned: Planned, result: dict[str, Any]) -> None:
        """A cell is done, here or in another process."""

    def failed(self, planned: Planned, message: str) -> None:
        """A cell failed, here or in another process."""

    def pruned(self, planned: Planned, message: str) -> None:
        """A cell was not worth going on with, here or in another process."""

    def stopped(self, planned: Planned, message: str) -> None:
        """A cell is tried again: it lost the process that trained it, or had no room beside others."""


@dataclass(frozen=True)
class Finished:
    """What a plan asks of a finished cell.

    Attributes:
        head: its name.
        moved_source: the source of the head has changed since.
        precision: that it was trained in.
        seconds: that its training took.
    """

    head: str
    moved_source: bool
    precision: str
    seconds: float | None


def result_of(cell_id: str, out: Path) -> dict[str, Any] | None:
    """Return a cell's result, or None where it has none that can be read.

    Raises:
        NewerError: if a newer harness wrote it.
    """
    try:
        return store.read_result(store.cell_folder(out, cell_id))
    except DamagedError:
        return None


def finished(cell_ids: Iterable[str], out: Path) -> dict[str, Finished]:
    """Return the finished ones of some cells; their results are read.

    Raises:
        NewerError: if a newer harness wrote one.
    """
    found, there = dict[str, Finished](), store.begun(out)
    for cell_id in cell_ids:
        result = result_of(cell_id, out) if cell_id in there else None
        if result is not None:
            found[cell_id] = Finished(
                result["facts"]["head"],
                provenance.moved_source(result),
                result["provenance"]["precision"],
                result["train_seconds"],
            )
    return found


def endings(cell_ids: Iterable[str], out: Path) -> dict[str, store.Ending]:
    """Return how those of some cells ended that ended without a result."""
    there = store.begun(out)
    found = {cell_id: store.read_ending(store.cell_folder(out, cell_id)) for cell_id in cell_ids if cell_id in there}
    return {
        cell_id: ending[0]
        for cell_id, ending in found.items()
        if ending is not None and result_of(cell_id, out) is None
    }


def pending(cells: list[Planned], out: Path, *, retry_failed: bool) -> list[Planned]:
    """Return the applicable cells that have no result yet.

    Those that failed or were pruned before only if they are to be tried again.
    """
    ids = [planned.cell_id for planned in cells if planned.not_applicable is None]
    ended = {*finished(ids, out), *([] if retry_failed else endings(ids, out))}
    return [planned for planned in cells if planned.not_applicable is None and planned.cell_id not in ended]


def clear_endings(cells: list[Planned], out: Path) -> None:
    """Forget that these cells failed or were pruned before."""
    there = store.begun(out)
    for planned in (planned for planned in cells if planned.cell_id in there):
        store.clear_endings(store.cell_folder(out, planned.cell_id))


# That a kernel has failed: from then on this process can compute nothing on its device.
FATAL = torch.AcceleratorError


@dataclass(frozen=True)
class Way:
    """How a process trains cells.

    Attributes:
        out: folder of the runs.
        hardware: of this process.
        data: of the cells, on its device.
        events: told what happens.
        keep_weights: keep each cell's last weights.
        wait: stay until the cells of other processes have ended too.
        ood: other data sets that each cell is measured on.
        checkpoint_minutes: between two checkpoints in the middle of an epoch.
        apart: trains a cell in a process of its own, for one that may have killed those that had it; None where another
            process watches this one.
        together: gives a block the other processes of a cell that is trained on several devices, else none.
        team: of workers that this process belongs to, whose parent judges the cells of those that die.
        again: try a cell once more that found no room beside others; else who gave it does.
    """

    out: Path
    hardware: Hardware
    data: Data
    events: Events
    keep_weights: bool
    wait: bool = True
    ood: tuple[OodSet, ...] = ()
    checkpoint_minutes: float = MINUTES
    apart: Callable[[Planned], None] | None = None
    together: Callable[[Planned], AbstractContextManager[Group | None]] = lambda _: nullcontext()
    team: str = ""
    again: bool = True


def run(cells: list[Planned], way: Way) -> None:
    """Train the cells one after the other, those that no other process has first.

    Return when all have ended, here or elsewhere, or at once when none is free.

    An exception ends its cell with ``error.txt``, not the grid; a full disk ends the grid.
    """
    waiting, watch, pause = list(cells), locks.Watch(way.team), PAUSE
    while waiting:
        outcomes = [_attempt(planned, way, watch) for planned in waiting]
        left = [
            planned
            for planned, outcome in zip(waiting, outcomes, strict=True)
            if outcome in (Outcome.AGAIN, Outcome.REQUEUED)
        ]
        if len(left) < len(waiting):
            pause = PAUSE
        elif not (way.wait or watch.is_deciding() or (way.again and Outcome.AGAIN in outcomes)):
            return
        else:
            way.data.drop()
            time.sleep(max(pause, PAUSE * len(left)))
            pause = min(pause * BACK_OFF, LONGEST_PAUSE)
        waiting = left


def _ended(planned: Planned, way: Way) -> Outcome | None:
    """Return how a cell has ended, and tell so; None where it has not."""
    result = result_of(planned.cell_id, way.out)
    if result is not None:
        way.events.finished(planned, result)
        return Outcome.DONE
    ending = store.read_ending(store.cell_folder(way.out, planned.cell_id))
    if ending is None:
        return None
    tell = way.events.failed if ending[0] == "failed" else way.events.pruned
    tell(planned, ending[1])
    return Outcome(ending[0])


def _attempt(planned: Planned, way: Way, watch: locks.Watch) -> Outcome:
    """Train a cell unless another process has it."""
    folder = store.cell_folder(way.out, planned.cell_id)
    if watch.is_still_held(folder):
        return Outcome.REQUEUED
    ended = _ended(planned, way)
    if ended is not None:
        return ended
    with ExitStack() as held:
        try:
            mine = held.enter_context(locks.locked(folder, watch, fatal=(DeviceLostError, FATAL)))
        except OSError as error:
            # One folder is another user's, or a file; where none can be written, the grid ends.
            if is_full(error) or not os.access(folder.parent, os.W_OK):
                raise
            way.events.failed(planned, f"its folder {folder} cannot be written ({error.strerror or error})")
            return Outcome.FAILED
        if mine is None:
            return Outcome.REQUEUED
        ended = _ended(planned, way)
        if ended is not None:
            return ended
        deaths = attempts.deaths(folder)
        if deaths >= attempts.UNSEEN:
            message = f"its process ended without a word, {deaths} times (killed, or out of memory)"
            return fail(planned, folder, message, way.events)
        if not deaths or way.apart is None:
            outcome = _train(planned, folder, mine, way)
            if outcome in (Outcome.AGAIN, Outcome.REQUEUED):
                way.data.drop()
            return outcome
    # It needs the room that this process's data have on the device.
    way.data.drop()
    way.apart(planned)
    return _ended(planned, way) or Outcome.REQUEUED


def _train(planned: Planned, folder: Path, mine: Owner, way: Way) -> Outcome:
    """Train a cell whose lock this process has."""
    keep_damaged(folder)
    check = partial(locks.check, folder, mine)
    checkpoints = Checkpoints(folder, planned.cell_id, within=60 * way.checkpoint_minutes, check=check)
    first = not attempts.deaths(folder)
    try:
        attempts.begin(folder)
        way.events.started(planned)
        result = _trained(planned, folder, way, checkpoints)
    except KeyboardInterrupt:
        if locks.owner_of(folder) == mine:
            attempts.end(folder)
            checkpoints.write()
        raise
    except DeviceLostError:
        # Its attempt stays counted: who watches this process tries the cell again, as if it had ended itself.
        if locks.owner_of(folder) == mine:
            checkpoints.write()
        raise
    except FATAL as error:
        # Its attempt stays counted, as if the process had ended itself.
        if way.apart is None:
            raise
        raise StoppedError(
            f"{_message(planned, error)}; this process can use its device no more, and the same command goes on"
        ) from error
    except Exception as error:
        return _ended_by(error, planned, folder, mine, way, checkpoints, first=first)
    # Written while it was its own; of a process that took it meanwhile nothing is removed.
    if locks.owner_of(folder) == mine:
        attempts.end(folder)
        checkpoints.remove()
    way.events.finished(planned, result)
    return Outcome.DONE


def _ended_by(
    error: Exception,
    planned: Planned,
    folder: Path,
    mine: Owner,
    way: Way,
    checkpoints: Checkpoints,
    *,
    first: bool,
) -> Outcome:
    """Return what an attempt has come to, the cell's first or a later one, that an exception ended, and tell so; that
    of a full disk is raised again.
    """
    if locks.owner_of(folder) != mine:
        way.events.stopped(planned, "another process has taken its lock; it is left to that one")
        return Outcome.REQUEUED
    if is_full(error):
        attempts.end(folder)
        raise error
    if isinstance(error, PrunedError):
        if planned.cell.purpose == "tune":  # a search prunes many, and goes on with none of them
            checkpoints.remove()
        store.write_ending(folder, "pruned", str(error))
        attempts.end(folder)
        way.events.pruned(planned, str(error))
        return Outcome.PRUNED
    if out_of_memory(error) and first and way.hardware.cells_per_device > 1:
        # Its attempt stays counted, so that the next one that ends so fails it.
        way.events.stopped(planned, "out of memory beside other cells on its device; tried once more")
        return Outcome.AGAIN
    return fail(planned, folder, _message(planned, error), way.events, traceback.format_exc())


def keep_damaged(folder: Path) -> None:
    """Set a result aside that a cell which is to be trained has: it is a damaged one."""
    if os.path.lexists(folder / "result.json"):
        aside = store.set_aside(folder / "result.json")
        note(f"{folder / 'result.json'} is damaged; it is kept as {aside.name}, and the cell is trained again")


def _trained(planned: Planned, folder: Path, way: Way, checkpoints: Checkpoints) -> dict[str, Any]:
    """Train a cell on its data; return its result."""
    parts = sets.beside(way.data.parts(planned.cell), way.ood, way.data)
    plan.check_data(planned, parts.outline)
    with way.together(planned) as group:
        return cell.run(
            planned,
            parts,
            folder,
            replace(way.hardware, group=group),
            partial(way.events.epoch, planned),
            keep_weights=way.keep_weights,
            checkpoints=checkpoints,
            on_glimpse=partial(way.events.glimpse, planned),
        )


def _message(planned: Planned, error: Exception) -> str:
    if out_of_memory(error):
        batch, before = planned.cell.recipe.batch_size, planned.cell.recipe.accumulate
        parts = next((parts for parts in range(before + 1, batch + 1) if batch % parts == 0), None)
        advice = (
            f"try --set recipe.accumulate={parts}" if parts else "its parts are one image each; take a smaller network"
        )
        return f"out of memory ({reason(error, 120)}); {advice}"
    return typed_reason(error, None)


def fail(planned: Planned, folder: Path, message: str, events: Events, trace: str = "") -> Outcome:
    """End a cell with an ``error.txt``, and tell so; its attempts are counted anew if it is tried again."""
    store.write_ending(folder, "failed", message, trace)
    attempts.end(folder)
    events.failed(planned, message)
    return Outcome.FAILED
