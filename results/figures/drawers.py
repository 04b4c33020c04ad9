"""The processes that draw what takes long, beside the one that asks for it."""

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

# With fewer calls no processes are started: a call takes seconds, a process as long to start.
MANY = 4
# Windows waits for no more.
MOST = 61
Call = Callable[[], Any]
# Begins a call, and returns what gives its result.
Begin = Callable[..., Call]


@contextmanager
def started(calls: int, prepare: Callable[[], object]) -> Iterator[Begin]:
    """Yield what begins a call: on all cores where there are many, and else in this process when its result is asked
    for. A call whose process has died is made again in this one.

    Args:
        calls: about how many there will be.
        prepare: what each process does before its first call.
    """
    if calls < MANY:
        yield partial
        return
    workers, spawn = min(os.cpu_count() or 1, calls, MOST), multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, _start, (prepare,))
    try:
        # A process is started for a call: they get ready, which takes seconds, beside whatever the block does first.
        for _ in range(workers):
            pool.submit(int)
        yield partial(_begun, pool)
    finally:
        pool.shutdown(cancel_futures=True)


def _begun(pool: ProcessPoolExecutor, function: Callable[..., Any], *given: Any) -> Call:
    here = partial(function, *given)
    try:
        there = pool.submit(function, *given).result
    except BrokenExecutor:
        return here

    def result() -> Any:
        try:
            return there()
        except BrokenExecutor:
            return here()

    return result


def _start(prepare: Callable[[], object]) -> None:
    # Ctrl-C reaches all processes of a terminal: this one ends without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    prepare()
    # A figure is a hundred thousand objects that live as long as it does: not to look through them each time that 700
    # are made saves a tenth of the time.
    gc.set_threshold(50_000)
