"""One process at a time, and none that is left alone."""

import multiprocessing
import os
import signal
import threading
import time
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


def follow_parent(patience: float = 0.0) -> None:
    """Have this process end when the one that started it has ended, however that was; nothing where none has.

    A process that is forked from a server sees nothing of it otherwise: the server goes on.

    Args:
        patience: seconds that it has to stop by itself, after a SIGTERM.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        if patience:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(patience)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
