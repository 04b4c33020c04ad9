"""The processes that draw."""

import os
import sys
import time
from pathlib import Path

import pytest

from headbench.results import columns, store
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


@pytest.mark.skipif(sys.platform != "linux", reason="no fork server is used")
def test_processes_are_woken_for_many_calls_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing import forkserver

    woken = list[int]()
    monkeypatch.setattr(forkserver, "ensure_running", lambda: woken.append(1))
    drawers.wake(drawers.MANY - 1)
    assert not woken
    drawers.wake(drawers.MANY)
    assert woken == [1]


def test_comparisons_with_a_finished_cell_are_counted(tmp_path: Path) -> None:
    cells = [
        {"cell_id": f"{number:016x}", "seed": seed, columns.COMPARISON[0]: dataset}
        for number, (dataset, seed) in enumerate([("cifar10", 0), ("cifar10", 1), ("cifar100", 0), ("svhn", 0)])
    ]
    for cell in cells[:3]:
        folder = store.cell_folder(tmp_path, str(cell["cell_id"]))
        folder.mkdir(parents=True)
        (folder / "result.json").touch()
    assert drawers.finished(tmp_path, {"cells": cells}) == 2
