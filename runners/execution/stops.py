"""Signals that stop a run in order: a cluster's SIGTERM, SIGUSR1 and SIGUSR2, and SIGHUP of a terminal that goes away,
do what Ctrl-C does.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop; its argument is the signal's number."""


def status(stop: KeyboardInterrupt) -> int:
    """Return the exit status of a process that was stopped, as shells have it: 128 and the signal's number."""
    return 128 + (stop.args[0] if isinstance(stop, Stopped) else signal.SIGINT)


def heed(signals: tuple[signal.Signals, ...] = SIGNALS) -> dict[signal.Signals, Any]:
    """Raise Stopped for the first of these signals, and ignore the others from then on: they must not spoil the
    checkpoint.

    A signal that is ignored already, as under nohup, stays so.

    Returns:
        The handlers that were in their place.
    """
    before = {number: handler for number in signals if (handler := signal.getsignal(number)) is not signal.SIG_IGN}

    def stop(number: int, frame: FrameType | None) -> None:
        ignore(signals)
        raise Stopped(number)

    for number in before:
        signal.signal(number, stop)
    return before


@contextmanager
def heeded() -> Iterator[None]:
    """Heed the signals in a block; only a program's main thread can, elsewhere nothing happens.

    After a stop they stay ignored, for the process is to end.
    """
    before = heed() if threading.current_thread() is threading.main_thread() else {}
    stopped = False
    try:
        yield
    except Stopped:
        stopped = True
        raise
    finally:
        if not stopped:
            for number, handler in before.items():
                signal.signal(number, handler)


def ignore(signals: tuple[signal.Signals, ...] = SIGNALS) -> None:
    """Ignore these signals from now on.

    By a handler that does nothing, since Python complains of a signal that came before SIG_IGN and is handled after it.
    """
    for number in signals:
        signal.signal(number, lambda number, frame: None)


def end() -> None:
    """Let no signal change the exit status of this process, which is at its end.

    The interpreter then puts back the default of every handler but SIG_IGN.
    """
    for number in (*SIGNALS, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
