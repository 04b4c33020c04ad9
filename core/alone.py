"""One process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Keep out the other processes that ask for the same lock file, where the disk lets us make it."""
    held = FileLock(lock)
    try:
        held.acquire()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        held.release()
