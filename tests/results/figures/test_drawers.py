"""The processes that draw."""

import os
import time

from headbench.results.figures import drawers


def process() -> int:
    return os.getpid()


def survived(first: int) -> int:
    if os.getpid() != first:
        os._exit(1)
    return first


def test_few_calls_are_made_here_and_many_elsewhere() -> None:
    with drawers.started(drawers.MANY - 1, time.time) as begin:
        assert begin(process)() == os.getpid()
    with drawers.started(drawers.MANY, time.time) as begin:
        assert begin(process)() != os.getpid()


def test_what_a_process_that_died_has_left_is_done_here() -> None:
    with drawers.started(drawers.MANY, time.time) as begin:
        first = begin(survived, os.getpid())
        assert first() == os.getpid()
        assert begin(process)() == os.getpid()
