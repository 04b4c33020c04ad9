"""A worker of a Ray cluster, the class of an actor: it keeps the device and the data of its process, trains the cells
that it is given, and tells how they go on to who asks.
"""

import os
import socket
import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from signal import SIGTERM
from typing import Any

from headbench.core import version
from headbench.core.errors import UserError, typed_reason
from headbench.results import store
from headbench.runners.execution import launch, locks, queue, stops
from headbench.runners.execution.attempts import NAME as ATTEMPTS
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Way
from headbench.runners.execution.workers import Job, Sender, way_of
from headbench.runners.grid import plugins
from headbench.runners.training import hardware
from headbench.runners.training.history import Glimpse

# Seconds that an answer waits for something to tell.
PATIENCE = 2.0
# Files of a cell from which its training can go on, the one that says so last.
PROGRESS = ("cell.yaml", "history.csv", "checkpoint.pt")
RESULT = "result.json"


class Outbox:
    """What a worker has to tell, in its order; the sending end of a ``Sender``.

    Attributes:
        answers: what its training is told: a cell that is pruned, and why.
        halted: the worker is to stop: whatever its training tells next ends that.
    """

    def __init__(self) -> None:
        self._messages: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self.answers: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self.halted = False

    def put(self, *message: Any) -> None:
        """Keep a message, also after a halt."""
        self._messages.put(message)

    def send(self, message: tuple[Any, ...]) -> None:
        """Keep what a training tells.

        Raises:
            Stopped: if the worker is to stop.
        """
        if self.halted:
            raise stops.Stopped(SIGTERM)
        self._messages.put(message)

    def poll(self) -> bool:
        """Say whether something is told to the training."""
        return not self.answers.empty()

    def recv(self) -> Any:
        """Return what is told to the training."""
        return self.answers.get()

    def take(self) -> list[tuple[Any, ...]]:
        """Return all messages, after a little while none."""
        taken: list[tuple[Any, ...]] = []
        with suppress(Empty):
            taken.append(self._messages.get(timeout=PATIENCE))
            while True:
                taken.append(self._messages.get_nowait())
        return taken


class FileSender(Sender):
    """A ``Sender`` that also sends each new checkpoint of a cell, for who has no view of the cell's folder."""

    def __init__(self, outbox: Outbox, folder: Path) -> None:
        super().__init__(outbox)
        self.outbox, self.folder = outbox, folder
        self._sent = self._stamp()

    def glimpse(self, planned: Planned, seen: Glimpse) -> None:
        """Send how an epoch goes on, and a checkpoint that was written since the last one was sent."""
        super().glimpse(planned, seen)
        if self._stamp() != self._sent:
            self._sent = self._stamp()
            self._send_files(PROGRESS)

    def send_all(self) -> None:
        """Send all files of the cell's folder, its result last."""
        names = {path.name for path in self.folder.iterdir() if path.is_file() and not path.name.startswith(".")}
        self._send_files(sorted(names - {locks.NAME, ATTEMPTS}, key=lambda name: (name == RESULT, name)))

    def _send_files(self, names: Any) -> None:
        paths = [self.folder / name for name in names]
        self.outbox.put("files", {path.name: path.read_bytes() for path in paths if path.is_file()})

    def _stamp(self) -> int:
        try:
            return (self.folder / PROGRESS[-1]).stat().st_mtime_ns
        except OSError:
            return 0


class Worker:
    """Trains cells in a thread of its own, so that each method returns soon.

    Args:
        job: how cells are trained; its folders are those of the machine that asks.
        data: the data folder, or None for this machine's own.
        added: name and contents of each plug-in.
        token: a file in the folder of the runs: who sees it works there.
    """

    def __init__(self, job: Job, data: Path | None, added: list[tuple[str, bytes]], token: Path | None) -> None:
        self._outbox, self._inbox = Outbox(), SimpleQueue[tuple[Planned, dict[str, bytes] | None]]()
        threading.Thread(target=self._work, args=(job, data, added, token), daemon=True).start()

    def train(self, planned: Planned, files: dict[str, bytes] | None) -> None:
        """Have a cell trained: in the folder of the runs, or where there is no view of that from the files that it has
        so far.
        """
        self._inbox.put((planned, files))

    def news(self) -> list[tuple[Any, ...]]:
        """Return what has happened since it was asked last, as tuples: ``ready``, ``refused``, what a ``Sender`` tells,
        ``files``, and at the end of each cell ``ended``, ``halted`` or ``broken``.
        """
        return self._outbox.take()

    def prune(self, cell_id: str, why: str) -> None:
        """Have a cell end at its next epoch, where it is still trained then."""
        self._outbox.answers.put((cell_id, why))

    def halt(self) -> None:
        """Write the newest checkpoint of the running cell, and stop."""
        self._outbox.halted = True

    def _work(self, job: Job, data: Path | None, added: list[tuple[str, bytes]], token: Path | None) -> None:
        try:
            way = self._set_up(job, data, added)
        except (UserError, OSError) as error:
            self._outbox.put("refused", socket.gethostname(), str(error))
            return
        except Exception as error:  # as of a device that does not start: it would be waited for without end
            self._outbox.put("broken", socket.gethostname(), typed_reason(error))
            return
        self._outbox.put("ready", socket.gethostname(), version.words(), token is not None and token.is_file())
        while True:
            planned, files = self._inbox.get()
            try:
                if files is None:
                    queue.run([planned], way)
                else:
                    _train_apart(planned, files, way, self._outbox)
                self._outbox.put("ended")
            except KeyboardInterrupt:
                self._outbox.put("halted")
            except queue.FATAL:  # this process can use its device no more, and another takes its place
                os._exit(1)
            except Exception as error:  # it must be heard of, whatever it is
                self._outbox.put("broken", socket.gethostname(), typed_reason(error))

    def _set_up(self, job: Job, data: Path | None, added: list[tuple[str, bytes]]) -> Way:
        root = launch.data_folder(data)
        place = Path(tempfile.mkdtemp(prefix="headbench-plugins-")) if added else Path()
        for name, content in added:
            store.write_bytes(place / name, content)
            plugins.load(place / name)
        way = way_of(replace(job, root=root, wait=False), hardware.set_up(job.share), Sender(self._outbox))
        # The driver puts a cell that found no room behind the others.
        return replace(way, again=False)


def _train_apart(planned: Planned, files: dict[str, bytes], way: Way, outbox: Outbox) -> None:
    """Train a cell in a folder of its own, and send the files that it has in the end."""
    with tempfile.TemporaryDirectory(prefix="headbench-ray-") as name:
        folder = store.cell_folder(Path(name), planned.cell_id)
        folder.mkdir(parents=True)
        for file, content in files.items():
            store.write_bytes(folder / file, content)
        sender = FileSender(outbox, folder)
        try:
            queue.run([planned], replace(way, out=Path(name), events=sender))
        finally:
            sender.send_all()
