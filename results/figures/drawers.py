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
from pathlib import Path
from typing import Any

from headbench.results import columns, store

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


def finished(out: Path, plan: dict[str, Any]) -> int:
    """Return how many comparisons of a grid have a finished cell: about as many calls as its report makes."""
    cells = (cell for cell in plan["cells"] if (store.cell_folder(out, cell["cell_id"]) / "result.json").is_file())
    return len({tuple(map(cell.get, columns.COMPARISON)) for cell in cells})


def wake(calls: int) -> None:
    """Start, on Linux and for many calls, the process from which those that draw are forked, so that it imports what
    they need while this one still makes its own imports.
    """
    if calls >= MANY and sys.platform == "linux":
        from multiprocessing import forkserver

        CONTEXT.set_forkserver_preload(PRELOAD)
        forkserver.ensure_running()


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
    wake(calls)
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
    import pandas as pd
    from threadpoolctl import threadpool_limits

    prepare()
    threadpool_limits(1)  # there is a process for each core
    # A figure is a hundred thousand objects that live as long as it does: not to look through them each time that 700
    # are made saves a tenth of the time.
    gc.set_threshold(50_000)
    pd.options.mode.string_storage = TEXTS
