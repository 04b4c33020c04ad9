"""The other processes of a group: started for one cell, watched while it is trained, and ended with it."""

import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from headbench.core.alone import follow_parent
from headbench.core.errors import note, typed_reason
from headbench.runners.devices.group import Group, abandon, join

# Signals that the first process heeds for all.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
# From an error of the first process until that of a helper which led to it must be known, and from the end of a helper
# until the first process must have noticed.
ECHO, NOTICED = 2.0, 30.0
# What torch raises where a process of the group does not answer.
ECHOES = (RuntimeError, torch.distributed.DistBackendError, torch.distributed.DistNetworkError)

# Joins the group by a process's device.
Join = Callable[[torch.device], Group]


class DeviceLostError(Exception):
    """A process of the group was ended from outside, as by the system for want of memory."""


class HelperError(Exception):
    """An error ended another process of the group than the first."""


class _Helper:
    """A process of the group beside the first, known by its rank.

    Args:
        context: that starts it.
        rank: in the group.
        act: called there with the rank and what joins the group.
        joined: what joins the group, but for rank and device.
    """

    def __init__(
        self,
        context: ForkServerContext | SpawnContext,
        rank: int,
        act: Callable[[int, Join], None],
        joined: Callable[[int, torch.device], Group],
    ) -> None:
        self.rank, self._lock = rank, threading.Lock()
        self._pipe, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_help, args=(rank, act, joined, theirs))
        start(self.process)
        theirs.close()

    def status(self) -> int | None:
        """Return the exit status, minus the signal that ended it, or None while it runs."""
        with self._lock:
            return self.process.exitcode

    def said(self) -> tuple[str, str] | None:
        """Return the error that it has told of, as a line and with its trace, or None."""
        try:
            line, trace = self._pipe.recv() if self._pipe.poll() else ("", "")
        except (EOFError, OSError):
            return None
        return (line, trace) if line else None


@contextmanager
def together(
    context: ForkServerContext | SpawnContext, size: int, device: torch.device, act: Callable[[int, Join], None]
) -> Iterator[Group]:
    """Give a block a group of ``size`` processes, this one the first; the others end with the block.

    Args:
        context: that starts them.
        size: processes of the group.
        device: of this process.
        act: called in each of the others with its rank and what joins the group.

    Raises:
        DeviceLostError: if one of the others was killed.
        HelperError: if one of them had an error of its own.
    """
    with tempfile.TemporaryDirectory(prefix="headbench-") as folder:
        joined = partial(join, Path(folder) / "group", size)
        helpers = [_Helper(context, rank, act, joined) for rank in range(1, size)]
        ended = threading.Event()
        threading.Thread(target=_watch, args=(helpers, ended), daemon=True).start()
        try:
            yield joined(0, device)
            for helper in helpers:
                helper.process.join(NOTICED)
        except Exception as error:
            _blame(helpers, error)
            raise
        finally:
            ended.set()
            for helper in helpers:
                helper.process.kill()
            for helper in helpers:
                helper.process.join()
            abandon()


def start(process: BaseProcess) -> None:
    """Start a process, from which signals are kept until it can heed them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _help(
    rank: int,
    act: Callable[[int, Join], None],
    joined: Callable[[int, torch.device], Group],
    pipe: Connection,
) -> None:
    """Run in a helper: act, or tell of an error and end at once, whatever else is there."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    follow_parent()
    try:
        act(rank, partial(joined, rank))
    except BaseException as error:
        pipe.send((typed_reason(error, None), traceback.format_exc()))
        os._exit(1)


def _watch(helpers: list[_Helper], ended: threading.Event) -> None:
    """End this process where a helper has gone and nothing here notices: a device may wait for it for ever."""
    running = list(helpers)
    while running and not ended.is_set():
        wait([helper.process.sentinel for helper in running], timeout=1.0)
        running = [helper for helper in running if helper.status() is None]
        if any(helper.status() for helper in helpers) and not ended.wait(NOTICED):
            for helper in helpers:
                if said := helper.said():
                    note(f"on device {helper.rank}: {said[0]}")
            os._exit(1)


def _blame(helpers: list[_Helper], error: Exception) -> None:
    """Raise in place of an error here what happened in a helper, if that led to it."""
    if type(error) not in ECHOES:
        return
    wait([helper.process.sentinel for helper in helpers], timeout=ECHO)
    for helper in helpers:
        status = helper.status()
        if status is not None and status < 0:
            raise DeviceLostError(f"the process of device {helper.rank} was ended by signal {-status}") from error
    for helper in helpers:
        if said := helper.said():
            told = HelperError(f"on device {helper.rank}: {said[0]}")
            told.add_note(said[1])
            raise told from error
