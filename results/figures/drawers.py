"""The processes that draw what takes long, beside the one that asks for it."""

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

# Begins a call, and returns what gives its result.
Begin = Callable[..., Callable[[], Any]]


@contextmanager
def started(wanted: bool, prepare: Callable[[], None]) -> Iterator[Begin]:
    """Yield what begins a call: on all cores where that is wanted, and else in this process when its result is asked
    for.

    Args:
        wanted: whether there is enough to do.
        prepare: what each process does before its first call.
    """
    if not wanted:
        yield partial
        return
    workers, spawn = os.cpu_count() or 1, multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _start, (prepare,)) as pool:
        # A process is started for a call: they get ready, which takes seconds, beside whatever the block does first.
        for _ in range(workers):
            pool.submit(int)
        yield lambda *call: pool.submit(*call).result


def _start(prepare: Callable[[], None]) -> None:
    prepare()
    # A figure is a hundred thousand objects that live as long as it does: not to look through them each time that 700
    # are made saves a tenth of the time.
    gc.set_threshold(50_000)
