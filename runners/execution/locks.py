"""Locks: which process trains which cell, so that any number of processes, also on different machines, drain one grid
together.
"""

import os
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from headbench.core.alone import alone
from headbench.core.errors import note
from headbench.results import store
from headbench.runners.execution.owner import Owner, this_process

NAME = "lock.json"
# Of harnesses that are older than the word lock; it is heeded as long as its heart beats.
OLD_NAME = "claim.json"
HEARTBEAT = 10.0
# A lock without a heartbeat for so long is stale, where its process cannot be asked.
STALE = 120.0
# A lock that cannot be read was cut off while it was made, unless it is younger than this.
UNREADABLE = 5.0
# Ages that no clock explains: of a date so far ahead, of one so long ago.
AHEAD, LONG_AGO = 60.0, 365 * 86400.0
# More than any lock is long.
LONGEST = 4096


class LostError(Exception):
    """The lock of this process was taken by another one."""


def owner_of(folder: Path) -> Owner | None:
    """Return who holds a cell's lock, or None where nobody does or the lock is unreadable."""
    path = folder / NAME
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        with path.open("rb") as file:
            return Owner.model_validate_json(file.read(LONGEST))
    except (OSError, ValidationError):
        return None


def check(folder: Path, mine: Owner) -> None:
    """Raise LostError unless a cell's lock is still this one."""
    if owner_of(folder) != mine:
        raise LostError(f"the lock of {folder.name} was taken by another process")


@dataclass
class _Sighting:
    """When a file was seen first, when its date moved last (both by this process's clock), that date, and whether the
    user knows that it is odd.
    """

    first: float
    moved: float
    date: int
    noted: bool = False


class Watch:
    """What one process sees of the locks of others.

    A heartbeat is judged by its date and, where no clock explains that, by whether it moves while it is watched: a
    clock that is wrong or was set costs two minutes, and no lock holds a cell for ever.

    Args:
        team: of workers that the process belongs to. The lock of one that died is not free for the others before their
            parent has judged its cell and released it; should the parent not do that, it becomes stale.
    """

    def __init__(self, team: str = "") -> None:
        self.team = team
        self._seen: dict[Path, _Sighting] = {}
        self._owners: dict[Path, Owner | None] = {}
        self._odd: set[Path] = set()
        self._clock: tuple[float, float] | None = None

    def is_held(self, folder: Path) -> bool:
        """Say whether somebody holds the lock of a cell."""
        path, owner = folder / NAME, owner_of(folder)
        self._owners[folder] = owner
        alive = None if owner is None else self._lives(owner)
        patience = UNREADABLE if owner is None and os.access(path, os.R_OK) else STALE
        held = self._beats(path, patience) if alive is None else alive
        return held or self._beats(folder / OLD_NAME, STALE)

    def is_still_held(self, folder: Path) -> bool:
        """Say whether a lock that was held at the last look surely still is, by its date alone.

        Where many processes wait, this is what they ask: one call to the file system of all. It never says that a lock
        is free, and is wrong for no longer than a heart may pause.
        """
        owner = self._owners.get(folder)
        return owner is not None and self._lives(owner) is not False and self._beats(folder / NAME, STALE)

    def is_deciding(self) -> bool:
        """Say whether there is a lock with an odd date that was not yet watched for long enough to know whether it is
        held.
        """
        return any(time.monotonic() - self._seen[path].first <= STALE for path in self._odd)

    def _lives(self, owner: Owner) -> bool | None:
        alive = owner.lives()
        return None if alive is False and self.team and owner.team == self.team else alive

    def _beats(self, path: Path, patience: float) -> bool:
        """Say whether a file is there and was touched not longer than ``patience`` seconds ago."""
        self._odd.discard(path)
        try:
            status = path.lstat()
        except OSError:
            return False
        if not stat.S_ISREG(status.st_mode):
            return False
        now = time.monotonic()
        sighting = self._seen.setdefault(path, _Sighting(now, now, status.st_mtime_ns))
        if sighting.date != status.st_mtime_ns:
            sighting.moved, sighting.date = now, status.st_mtime_ns
        age = self._file_time(path.parent.parent) - status.st_mtime
        if now - sighting.moved > patience:
            return False
        if -AHEAD <= age <= LONG_AGO:
            return age <= patience
        self._odd.add(path)
        if not sighting.noted:
            sighting.noted = True
            date = f"{abs(age) / 86400:.2g} days {'ahead' if age < 0 else 'ago'}"
            note(
                f"{path} is dated {date}, as if a clock had been set; it is watched for {patience:.0f} s, and taken "
                f"over if no heartbeat comes"
            )
        return True

    def _file_time(self, folder: Path) -> float:
        """Return the time by the clock of the file system that keeps the heartbeats.

        It is asked every few seconds, not for every lock.
        """
        now = time.monotonic()
        if self._clock is None or now - self._clock[1] > HEARTBEAT / 2:
            self._clock = (_probe(folder), now)
        return self._clock[0] + now - self._clock[1]


def _probe(folder: Path) -> float:
    with suppress(OSError), tempfile.TemporaryFile(dir=folder, prefix=".now-") as probe:
        return os.fstat(probe.fileno()).st_mtime
    return time.time()


@contextmanager
def locked(folder: Path, watch: Watch, fatal: tuple[type[Exception], ...] = ()) -> Iterator[Owner | None]:
    """Lock a cell for the length of a block, with a heartbeat.

    The block is told its lock, or None if another process has the cell.

    A stale lock is taken over under a lock, so that of two processes that see it one gets it. An exception that is
    ``fatal`` to this process leaves the lock where it is, as a death would.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mine = this_process(watch.team)
    if watch.is_held(folder) or not (_create(folder, mine) or _take_over(folder, mine, watch)):
        yield None
        return
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(folder, mine, ended), daemon=True)
    heart.start()
    dying = False
    try:
        yield mine
    except fatal:
        dying = True
        raise
    finally:
        ended.set()
        heart.join()
        if not dying and owner_of(folder) == mine:
            (folder / NAME).unlink(missing_ok=True)


def _create(folder: Path, mine: Owner) -> bool:
    try:
        handle = os.open(folder / NAME, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "w") as file:
            file.write(mine.model_dump_json())
    except BaseException:
        (folder / NAME).unlink(missing_ok=True)
        raise
    return True


def _take_over(folder: Path, mine: Owner, watch: Watch) -> bool:
    path = folder / NAME
    with alone(folder.parent / ".locks"):
        if watch.is_held(folder):
            return False
        if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
            note(f"{path} is no lock, but a folder or a link; it is kept as {store.set_aside(path).name}")
        if not os.path.lexists(path):
            return _create(folder, mine)
        store.write_text(path, mine.model_dump_json())
        return True


def _beat(folder: Path, mine: Owner, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT):
        with suppress(OSError):  # the folder may be away for a moment; the next beat tries again
            if owner_of(folder) == mine:
                os.utime(folder / NAME)
