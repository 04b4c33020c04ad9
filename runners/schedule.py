"""The schedule of a grid's cells: what is finished is skipped, what fails is recorded, what another process has is left to it, the rest goes on."""

import errno
import os
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from core.errors import UserError, note
from results import store
from runners import cell, claims
from runners.checkpoint import Checkpoints
from runners.hardware import Hardware
from runners.plan import Planned

# Between two looks at cells that other processes have claimed.
PAUSE = 0.5


class Events(Protocol):
    """Who is told how the cells go on."""

    def started(self, planned: Planned) -> None:
        """A cell begins."""

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        """An epoch of a cell is finished."""

    def finished(self, planned: Planned, result: dict[str, Any]) -> None:
        """A cell is done, here or in another process."""

    def failed(self, planned: Planned, message: str) -> None:
        """A cell failed, here or in another process."""


def result_of(planned: Planned, out: Path) -> dict[str, Any] | None:
    """Return a cell's result, or None where it has none that can be read.

    Raises:
        UserError: if a newer harness wrote it.
    """
    try:
        return store.read_result(store.cell_folder(out, planned.cell_id))
    except store.DamagedError:
        return None
    except store.NewerError as error:
        raise UserError(str(error)) from None


def pending(plan: list[Planned], out: Path, *, retry_failed: bool) -> list[Planned]:
    """Return the applicable cells that have no result yet; those that failed before only if they are to be tried again."""

    def waits(planned: Planned) -> bool:
        return result_of(planned, out) is None and (retry_failed or store.read_error(store.cell_folder(out, planned.cell_id)) is None)

    return [planned for planned in plan if planned.not_applicable is None and waits(planned)]


def clear_failures(cells: list[Planned], out: Path) -> None:
    """Forget that these cells failed before."""
    for planned in cells:
        (store.cell_folder(out, planned.cell_id) / "error.txt").unlink(missing_ok=True)


def run(cells: list[Planned], out: Path, hardware: Hardware, events: Events, *, keep_weights: bool) -> None:
    """Train the cells one after the other, those that no other process has first; return when all have ended, here or elsewhere.

    An exception ends its cell with ``error.txt``, not the grid; a full disk ends the grid.
    """
    waiting = list(cells)
    while waiting:
        left = [planned for planned in waiting if not _ended(planned, out, events)]
        waiting = [planned for planned in left if not _attempt(planned, out, hardware, events, keep_weights=keep_weights)]
        if waiting and len(waiting) == len(left):
            time.sleep(PAUSE)


def _ended(planned: Planned, out: Path, events: Events) -> bool:
    """Say whether a cell has ended, and tell so."""
    result, error = result_of(planned, out), store.read_error(store.cell_folder(out, planned.cell_id))
    if result is not None:
        events.finished(planned, result)
    elif error is not None:
        events.failed(planned, store.first_line(error))
    return result is not None or error is not None


def _attempt(planned: Planned, out: Path, hardware: Hardware, events: Events, *, keep_weights: bool) -> bool:
    """Train a cell unless another process has it; say whether it has ended."""
    folder = store.cell_folder(out, planned.cell_id)
    with claims.claimed(folder) as got:
        if not got:
            return False
        if _ended(planned, out, events):
            return True
        if os.path.lexists(folder / "result.json"):
            aside = store.set_aside(folder / "result.json")
            note(f"{folder / 'result.json'} is damaged; it is kept as {aside.name}, and the cell is trained again")
        checkpoints = Checkpoints(folder, planned.cell_id)
        events.started(planned)
        try:
            result = cell.run(planned, folder, hardware, partial(events.epoch, planned), keep_weights=keep_weights, checkpoints=checkpoints)
        except KeyboardInterrupt:
            checkpoints.write()
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            _fail(planned, folder, error, events)
        else:
            checkpoints.remove()
            events.finished(planned, result)
        return True


def _fail(planned: Planned, folder: Path, error: Exception, events: Events) -> None:
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, torch.cuda.OutOfMemoryError):
        message = f"CUDA out of memory; try --set recipe.batch_size={max(planned.cell.recipe.batch_size // 2, 1)}"
    store.write_text(folder / "error.txt", f"{message}\n\n{traceback.format_exc()}")
    events.failed(planned, message)
