"""One process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from headbench.core.errors import note


@contextmanager
def alone(lock: Path, busy: str = "") -> Iterator[None]:
    """Keep out the other processes that ask for the same lock file, where the disk lets us make it.

    Args:
        lock: the file.
        busy: what the user is told where another process has it.
    """
    held = FileLock(lock)
    try:
        try:
            held.acquire(timeout=0 if busy else -1)
        except Timeout:
            note(busy)
            held.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        held.release()
