"""Cells in parallel processes on one machine: each worker drains the grid like a ``bench.py`` of its own, and locks
keep them apart.
"""

import os
import signal
import sys
import time
import uuid
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from headbench.core.alone import follow_parent
from headbench.core.errors import PrunedError, StoppedError, UserError, note
from headbench.results import store
from headbench.runners.devices import helpers
from headbench.runners.devices.group import Group
from headbench.runners.execution import attempts, locks, queue, stops
from headbench.runners.execution.options import MINUTES
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Events, Way
from headbench.runners.grid import plugins
from headbench.runners.ood.sets import OodSet
from headbench.runners.training import hardware
from headbench.runners.training.checkpoint import Checkpoints
from headbench.runners.training.data import Data
from headbench.runners.training.hardware import Hardware, Share
from headbench.runners.training.history import Glimpse
from headbench.runners.training.train import resume

# Workers that may die while they have no cell, or be told to stop alone, before no other is started.
DEATHS = 2
# After a stop, until workers that have not written their checkpoints are killed; less than the grace time of the usual
# clusters.
PATIENCE = 20.0
# Those that a worker heeds, and that wait until it can.
SIGNALS = (*stops.SIGNALS, signal.SIGINT)
# Workers are forked from a process that has imported all they need and done nothing with it, so that the imports,
# seconds each, are made once for the whole team. On macOS, where libraries do not survive a fork, each makes its own.
CONTEXT: ForkServerContext | SpawnContext = ForkServerContext() if sys.platform == "linux" else SpawnContext()
PRELOAD = ["headbench.runners.execution.sharing.preload"]


@dataclass(frozen=True)
class Job:
    """What a worker needs to train cells.

    Attributes:
        plugins: files to import first.
        root: the data folder.
        out: folder of the runs.
        share: of the machine.
        keep_weights: keep each cell's last weights.
        wait: stay until the cells of other processes have ended too.
        ood: other data sets that each cell is measured on.
        checkpoint_minutes: between two checkpoints in the middle of an epoch.
        environment: variables of the process that asks.
        team: name of those that get this job.
    """

    plugins: tuple[Path, ...]
    root: Path
    out: Path
    share: Share
    keep_weights: bool
    wait: bool
    ood: tuple[OodSet, ...] = ()
    checkpoint_minutes: float = MINUTES
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    team: str = field(default_factory=lambda: uuid.uuid4().hex)


class Line(Protocol):
    """What a sender has to whom it tells: a pipe, say."""

    def send(self, message: Any, /) -> None:
        """Send a message."""

    def poll(self) -> bool:
        """Say whether there is an answer."""

    def recv(self) -> Any:
        """Return the answer."""


class Sender:
    """An ``Events`` that sends what happens to the parent process.

    Stops this process where the parent is gone, so that no cell is blamed for it.
    """

    def __init__(self, pipe: Line) -> None:
        self.pipe = pipe

    def started(self, planned: Planned) -> None:
        self.send("started", planned.cell_id)

    def glimpse(self, planned: Planned, seen: Glimpse) -> None:
        self.send("glimpse", planned.cell_id, seen)

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        """Send an epoch, and hear whether the cell was pruned meanwhile.

        After the last one that comes too late: what is trained is not thrown away.
        """
        self.send("epoch", planned.cell_id, row)
        if row["epoch"] >= planned.facts["epochs"]:
            return
        try:
            while self.pipe.poll():
                cell_id, message = self.pipe.recv()
                if cell_id == planned.cell_id:
                    raise PrunedError(message)
        except (EOFError, OSError):
            raise stops.Stopped(signal.SIGTERM) from None

    def finished(self, planned: Planned, result: dict[str, Any]) -> None:
        shown = ("selections", "health", "train_seconds", "images_per_second")
        self.send("finished", planned.cell_id, {key: result.get(key) for key in shown})

    def failed(self, planned: Planned, message: str) -> None:
        self.send("failed", planned.cell_id, message)

    def pruned(self, planned: Planned, message: str) -> None:
        self.send("pruned", planned.cell_id, message)

    def stopped(self, planned: Planned, message: str) -> None:
        self.send("stopped", planned.cell_id, message)

    def send(self, *message: Any) -> None:
        try:
            self.pipe.send(message)
        except ConnectionError:
            raise stops.Stopped(signal.SIGTERM) from None


def data_of(job: Job, machine: Hardware) -> Data:
    """Return the data of a job's cells, on the device of this process."""
    return Data(job.root, machine.device, bf16=machine.bf16, readers=job.share.readers)


def way_of(job: Job, machine: Hardware, events: Events, **more: Any) -> Way:
    """Return how this process trains the cells of a job; ``more`` are fields that the job does not tell."""
    kept, minutes = job.keep_weights, job.checkpoint_minutes
    return Way(job.out, machine, data_of(job, machine), events, kept, job.wait, job.ood, minutes, **more)


def _begun(job: Job, number: int, rank: int = 0) -> Hardware:
    """Make a process ready for a job; return its share of the machine."""
    os.environ.update(job.environment)
    for path in job.plugins:
        plugins.load(path)
    return hardware.set_up(job.share, number, rank)


def _work(job: Job, cells: list[Planned], number: int, pipe: Connection) -> None:
    """Run in a worker process: train what no other process has."""
    try:
        stops.heed(SIGNALS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        follow_parent(PATIENCE)
        last = _drain(job, cells, number, Sender(pipe))
        stops.ignore(SIGNALS)  # what is left is the interpreter's own end
    except KeyboardInterrupt as stop:
        os._exit(stops.status(stop))
    except helpers.DeviceLostError as error:
        note(str(error))
        os._exit(1)
    except queue.FATAL as error:
        note(f"a worker ends, since it can use its device no more, and another takes its place: {error}")
        os._exit(1)
    with suppress(ConnectionError):
        pipe.send(last)


def _drain(job: Job, cells: list[Planned], number: int, sender: Sender) -> tuple[Any, ...]:
    """Train what no other process has; return the last message to the parent."""
    try:
        machine = _begun(job, number)
        sender.send("ready")
        together = {} if job.share.devices == 1 else {"together": partial(_together, job, number)}
        queue.run(cells, way_of(job, machine, sender, team=job.team, **together))
    except OSError as error:
        return "unwritable", error.errno, error.strerror, error.filename
    return ("ended",)


def _together(job: Job, number: int, planned: Planned) -> AbstractContextManager[Group]:
    """Return what gives a block the processes of this worker's other devices, which train a cell with it."""
    CONTEXT.set_forkserver_preload(PRELOAD)
    device = hardware.device_of(job.share, number)
    return helpers.together(CONTEXT, job.share.devices, device, partial(_assist, job, number, planned))


def _assist(job: Job, number: int, planned: Planned, rank: int, join: helpers.Join) -> None:
    """Run in a process of another device: train a cell along with the worker, which alone writes."""
    machine = _begun(job, number, rank)
    parts = data_of(job, machine).parts(planned.cell)
    machine = replace(machine, group=join(machine.device))
    checkpoints = Checkpoints(store.cell_folder(job.out, planned.cell_id), planned.cell_id)
    resume(planned.cell, parts, machine, checkpoints).run(lambda row: None)


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    cell_id: str | None = None
    ready: bool = False
    ended: bool = False


def run(job: Job, cells: list[Planned], events: Events) -> None:
    """Train the cells in as many processes as the job shares the machine among; return when all of them have ended.

    A worker that dies is replaced; its cell is tried once more, then it counts as failed.

    Args:
        job: for the workers.
        cells: the cells to train.
        events: told what happens.

    Raises:
        OSError: if a worker could not write, as on a full disk.
        StoppedError: if so many workers died that none is left.
        UserError: if no worker could start.
    """
    planned = {p.cell_id: p for p in cells}
    team = {number: _start(job, cells, number) for number in range(min(job.share.workers, len(cells)))}
    could_start, lost = False, 0
    try:
        while team:
            wait([worker.pipe for worker in team.values()], timeout=1.0)
            for number, worker in list(team.items()):
                if _listen(worker, planned, events):
                    continue
                worker.process.join()
                could_start = could_start or any(other.ready for other in team.values())
                del team[number]
                if worker.ended:
                    continue
                if not could_start:
                    raise UserError(f"a worker could not start: it {_cause(worker)}; see above, or try --workers 1")
                if not _bury(worker, planned, job.out, events):
                    lost += 1
                    note(f"a worker that had no cell to blame {_cause(worker)}; {_next(cells, job.out)}")
                if lost < DEATHS:
                    team[number] = _start(job, cells, number)
                elif not team:
                    raise StoppedError(
                        f"{lost} workers were lost without a cell to blame, and no other is started; "
                        f"{_next(cells, job.out)}"
                    )
    finally:
        _dismiss(list(team.values()))


def _start(job: Job, cells: list[Planned], number: int) -> _Worker:
    """Start a worker, from which signals are kept until it can heed them."""
    CONTEXT.set_forkserver_preload(PRELOAD)
    ours, theirs = CONTEXT.Pipe()
    # No daemon, which could have no processes of its own, for other devices or to read images; it follows its parent.
    process = CONTEXT.Process(target=_work, args=(job, cells, number, theirs))
    helpers.start(process)
    theirs.close()
    return _Worker(process, ours)


def _listen(worker: _Worker, planned: dict[str, Planned], events: Events) -> bool:
    """Take what a worker has sent; return False when it has ended."""
    while worker.pipe.poll():
        try:
            kind, *content = worker.pipe.recv()
        except (EOFError, OSError):  # the latter if it was killed in the middle of a message
            return False
        if kind == "unwritable":
            raise OSError(*content)
        if kind == "ready":
            worker.ready = True
            continue
        if kind == "ended":
            worker.ended = True
            continue
        worker.cell_id = content[0] if kind in {"started", "glimpse", "epoch"} else None
        try:
            getattr(events, kind)(planned[content[0]], *content[1:])
        except PrunedError as pruned:
            with suppress(ConnectionError):
                worker.pipe.send((content[0], str(pruned)))
    return True


def _cause(worker: _Worker) -> str:
    code = worker.process.exitcode
    return f"was ended by signal {-code}" if code and code < 0 else f"ended with status {code}"


def _bury(worker: _Worker, planned: dict[str, Planned], out: Path, events: Events) -> bool:
    """Say whether a worker's death is its cell's doing; fail the cell that has lost too many."""
    told_to_stop = worker.process.exitcode in {128 + number for number in SIGNALS}
    if worker.cell_id is None or told_to_stop:
        return False
    cell, folder = planned[worker.cell_id], store.cell_folder(out, worker.cell_id)
    with locks.locked(folder, locks.Watch()) as mine:
        deaths = attempts.deaths(folder)
        if mine and deaths >= attempts.DEATHS:
            queue.fail(cell, folder, f"its worker {_cause(worker)}, {deaths} times (killed, or out of memory)", events)
        else:
            events.stopped(cell, f"its worker {_cause(worker)}; tried once more")
    return True


def _next(cells: list[Planned], out: Path) -> str:
    """Say which cell would have been next."""
    watch = locks.Watch()
    free = [
        p for p in queue.pending(cells, out, retry_failed=False) if not watch.is_held(store.cell_folder(out, p.cell_id))
    ]
    return (
        f"next is cell {free[0].cell_id}, {free[0].cell.head_label} on {free[0].cell.dataset_label}"
        if free
        else "no cell is left to take"
    )


def _dismiss(team: list[_Worker]) -> None:
    """Tell workers that still run to stop, wait a little for their checkpoints, then kill them.

    A second Ctrl-C ends the wait.

    One that is still starting has nothing to write, and hears nothing before its imports are done: it is killed at
    once.
    """
    for worker in team:
        starting = not worker.ready and not worker.pipe.poll()
        worker.process.kill() if starting else worker.process.terminate()
    deadline = time.monotonic() + PATIENCE
    try:
        for worker in team:
            worker.process.join(max(deadline - time.monotonic(), 0))
    finally:
        for worker in team:
            worker.process.kill()
