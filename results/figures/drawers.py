"""The processes that draw what takes long, beside the one that asks for it."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pandas as pd

# With fewer calls no processes are started: a call takes seconds, a process as long to start.
MANY = 4
# They are forked from a process that has imported what they need, so that the imports, seconds, are made once.
CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
PRELOAD = ["headbench.results.report", "relplot"]
# How pandas keeps texts: as Python's, of which many small tables are made in half the time that Arrow's take.
TEXTS = "python"
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
    workers = min(os.cpu_count() or 1, calls, MOST)
    CONTEXT.set_forkserver_preload(PRELOAD)
    pool = ProcessPoolExecutor(workers, CONTEXT, _start, (prepare,))
    # They get ready, which takes seconds, beside whatever the block does first.
    starter = threading.Thread(target=_fill, args=(pool, workers))
    starter.start()
    try:
        yield partial(_begun, pool)
    finally:
        starter.join()
        pool.shutdown(cancel_futures=True)


def _fill(pool: ProcessPoolExecutor, workers: int) -> None:
    """Start the processes of a pool, each of which is started for a call."""
    with suppress(BrokenExecutor):
        for _ in range(workers):
            pool.submit(int)


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
    pd.options.mode.string_storage = TEXTS
