"""Claims: which process trains which cell, so that any number of processes, also on different machines, drain one grid together."""

import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock

from results import store

NAME = "claim.json"
HEARTBEAT = 10.0
# A claim of another machine without a heartbeat for so long is stale; on the same machine the process itself is asked.
STALE = 120.0
# A claim that cannot be read was cut off while it was made, unless it is younger than this.
UNREADABLE = 5.0


@dataclass(frozen=True)
class Owner:
    """A process: its host, number and start time (a number may be used again), and a token of its own for each claim."""

    host: str
    pid: int
    started: float
    token: str

    @classmethod
    def this_process(cls) -> "Owner":
        """Return the owner of a new claim of this process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time(), uuid.uuid4().hex)

    def lives(self) -> bool | None:
        """Say whether the process still runs, or None where another machine would have to be asked."""
        if self.host != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def owner_of(folder: Path) -> Owner | None:
    """Return who claims a cell, or None where nobody does or the claim is unreadable."""
    try:
        return Owner(**json.loads((folder / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_stale(folder: Path) -> bool:
    """Say whether a cell's claim is one that nobody holds any more."""
    path, owner = folder / NAME, owner_of(folder)
    alive = None if owner is None else owner.lives()
    if alive is not None:
        return not alive
    try:
        return _now(folder) - path.stat().st_mtime > (UNREADABLE if owner is None else STALE)
    except OSError:
        return False


def _now(folder: Path) -> float:
    """Return the time by the clock of the file system that keeps the heartbeats."""
    probe = folder / f".now-{uuid.uuid4().hex}"
    probe.touch()
    now = probe.stat().st_mtime
    probe.unlink()
    return now


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Claim a cell for the length of a block, with a heartbeat; the block is told whether it got the claim.

    A stale claim is taken over under a lock, so that of two processes that see it one gets it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mine = Owner.this_process()
    if not _create(folder, mine) and not _take_over(folder, mine):
        yield False
        return
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(folder / NAME, ended), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        ended.set()
        heart.join()
        if owner_of(folder) == mine:
            (folder / NAME).unlink(missing_ok=True)


def _create(folder: Path, mine: Owner) -> bool:
    try:
        handle = os.open(folder / NAME, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as file:
        file.write(json.dumps(asdict(mine)))
    return True


def _take_over(folder: Path, mine: Owner) -> bool:
    if not is_stale(folder):
        return False
    with FileLock(folder.parent / ".claims.lock"):
        if not (folder / NAME).exists():
            return _create(folder, mine)
        if not is_stale(folder):
            return False
        store.write_text(folder / NAME, json.dumps(asdict(mine)))
        return True


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT):
        with suppress(OSError):  # the folder may be away for a moment; the next beat tries again
            os.utime(path)
