"""Cells in parallel processes on one machine: each worker drains the grid like a ``bench.py`` of its own, and claims keep them apart."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from core.errors import UserError
from results import store
from runners import claims, config, hardware, plan, plugins, schedule
from runners.plan import Planned
from runners.schedule import Events

# Times that a cell may lose its worker (killed, out of memory) before it counts as failed.
DEATHS = 2
# After Ctrl-C, until workers that have not ended are killed.
PATIENCE = 5.0


@dataclass(frozen=True)
class Job:
    """What a worker needs to plan the same cells again.

    Attributes:
        contents: of the grid file, with the changes of ``--set``.
        place: of the grid, for messages.
        plugins: files to import first.
        root: the data folder.
        out: folder of the runs.
        cell_ids: the cells to train.
        device: ``cpu`` or ``cuda``.
        threads: of each worker.
        precision: as requested.
        keep_weights: keep each cell's last weights.
    """

    contents: dict[str, Any]
    place: str
    plugins: tuple[Path, ...]
    root: Path
    out: Path
    cell_ids: frozenset[str]
    device: str
    threads: int
    precision: str
    keep_weights: bool


class _Sender:
    """An ``Events`` that sends what happens to the parent process; ends this process where the parent is gone, so that no cell is blamed for it."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def started(self, planned: Planned) -> None:
        self.send("started", planned.cell_id)

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        self.send("epoch", planned.cell_id, row)

    def finished(self, planned: Planned, result: dict[str, Any]) -> None:
        shown = ("selections", "train_seconds", "images_per_second")
        self.send("finished", planned.cell_id, {key: result[key] for key in shown})

    def failed(self, planned: Planned, message: str) -> None:
        self.send("failed", planned.cell_id, message)

    def send(self, *message: Any) -> None:
        try:
            self.pipe.send(message)
        except ConnectionError:
            os._exit(1)


def _work(job: Job, number: int, pipe: Connection) -> None:
    """Run in a worker process: plan the grid, and train what no other process has."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is under nohup
        signal.signal(signal.SIGINT, _interrupt_once)
    _follow_parent()
    sender = _Sender(pipe)
    try:
        for path in job.plugins:
            plugins.load(path)
        machine = hardware.set_up(job.device, job.threads, job.precision, number)
        cells = config.expand(config.parse_grid(job.contents, job.place), job.precision, job.place, derived=True)
        planned = [p for p in plan.make(cells, job.root, machine) if p.cell_id in job.cell_ids]
        schedule.run(planned, job.out, machine, sender, keep_weights=job.keep_weights)
        sender.send("ended")
    except KeyboardInterrupt:
        os._exit(130)
    except OSError as error:
        sender.send("unwritable", error.errno, error.strerror, error.filename)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """Interrupt the work for the first SIGINT; Ctrl-C reaches a worker from the terminal and from its parent, and the second must not spoil the checkpoint."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _follow_parent() -> None:
    """End this process when its parent has ended, however that was."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    cell_id: str | None = None
    worked: bool = False
    ended: bool = False


def run(job: Job, cells: list[Planned], workers: int, events: Events, stopped: Callable[[Planned, str], None]) -> None:
    """Train the cells in ``workers`` processes; return when all have ended.

    A worker that dies is replaced; its cell is tried once more, then it counts as failed.

    Args:
        job: for the workers.
        cells: the cells to train.
        workers: number of processes, at most one per cell.
        events: told what happens.
        stopped: told of a cell that lost its worker.

    Raises:
        OSError: if a worker could not write, as on a full disk.
    """
    planned = {p.cell_id: p for p in cells}
    deaths: dict[str, int] = {}
    context = multiprocessing.get_context("spawn")

    def start(number: int) -> _Worker:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(job, number, sender), daemon=True)
        process.start()
        sender.close()
        return _Worker(process, receiver)

    team = {number: start(number) for number in range(min(workers, len(cells)))}
    try:
        while team:
            wait([worker.pipe for worker in team.values()], timeout=1.0)
            for number, worker in list(team.items()):
                if _listen(worker, planned, events):
                    continue
                worker.process.join()
                del team[number]
                if not worker.ended:
                    _bury(worker, planned, job.out, deaths, events, stopped)
                    team[number] = start(number)
    finally:
        _dismiss([worker.process for worker in team.values()])


def _listen(worker: _Worker, planned: dict[str, Planned], events: Events) -> bool:
    """Take what a worker has sent; return False when it has ended."""
    while worker.pipe.poll():
        try:
            kind, *content = worker.pipe.recv()
        except (EOFError, OSError):  # the latter if it was killed in the middle of a message
            return False
        if kind == "unwritable":
            raise OSError(*content)
        if kind == "ended":
            worker.ended = True
            continue
        worker.cell_id = content[0] if kind in {"started", "epoch"} else None
        worker.worked = True
        getattr(events, kind)(planned[content[0]], *content[1:])
    return True


def _bury(worker: _Worker, planned: dict[str, Planned], out: Path, deaths: dict[str, int], events: Events, stopped: Callable[[Planned, str], None]) -> None:
    """Count the death of a worker against its cell; fail the cell that has lost too many."""
    code = worker.process.exitcode
    cause = f"its worker was ended by signal {-code}" if code and code < 0 else f"its worker ended with status {code}"
    if worker.cell_id is None:
        if not worker.worked:
            raise UserError(f"a worker could not start: {cause}; see above, or try --workers 1")
        return
    cell, deaths[worker.cell_id] = planned[worker.cell_id], deaths.get(worker.cell_id, 0) + 1
    if deaths[worker.cell_id] < DEATHS:
        stopped(cell, f"{cause}; tried once more")
        return
    folder = store.cell_folder(out, worker.cell_id)
    with claims.claimed(folder) as got:
        if got:
            store.write_text(folder / "error.txt", f"{cause}, {DEATHS} times (killed, or out of memory)\n")
            events.failed(cell, f"{cause}, {DEATHS} times (killed, or out of memory)")


def _dismiss(processes: list[BaseProcess]) -> None:
    """Interrupt workers that still run, wait a little for their checkpoints, then kill them."""
    for process in processes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        process.join(max(deadline - time.monotonic(), 0))
        process.kill()
