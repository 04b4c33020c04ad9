"""The processes that draw what takes long, beside the one that asks for it."""

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver
from typing import Any

# What takes a process seconds to import.
IMPORTED = ["headbench.results.comparison", "relplot"]
# Begins a call, and returns what gives its result.
Begin = Callable[..., Callable[[], Any]]


@contextmanager
def started(wanted: bool, prepare: Callable[[], None]) -> Iterator[Begin]:
    """Yield what begins a call: on all cores where that is wanted, and else in this process when its result is asked
    for.

    The processes get ready beside whatever the block does first.

    Args:
        wanted: whether there is enough to do.
        prepare: what each process does before its first call.
    """
    if not wanted:
        yield partial
        return
    method = "spawn"
    if "forkserver" in multiprocessing.get_all_start_methods():
        # One process imports, and all others are its copies.
        method = "forkserver"
        forkserver.set_forkserver_preload(IMPORTED)
        forkserver.ensure_running()
    with ProcessPoolExecutor(
        os.cpu_count() or 1, multiprocessing.get_context(method), initializer=_start, initargs=(prepare,)
    ) as pool:
        yield lambda *call: pool.submit(*call).result


def _start(prepare: Callable[[], None]) -> None:
    prepare()
    # A figure is a hundred thousand objects that live as long as it does: not to look through them each time that 700
    # are made saves a tenth of the time.
    gc.set_threshold(50_000)
