"""Who holds which cell, on which machine."""

import argparse
import os
import socket
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from headbench.results import store
from headbench.runners.commands import status
from headbench.runners.execution import locks
from headbench.runners.execution.locks import Watch, locked
from headbench.runners.execution.owner import this_process
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Finished
from headbench.runners.inspection.status import seconds_left
from tests.results.helpers import facts, write_grid
from tests.runners.helpers import cell


def test_it_says_who_holds_what_on_which_machine(tmp_path: Path) -> None:
    cells = [facts("psc", 5, seed) | {"cell_id": f"cell-{seed}", "not_applicable": None} for seed in range(3)]
    write_grid(tmp_path, cells)
    folders = [store.cell_folder(tmp_path, cell["cell_id"]) for cell in cells]
    mine = this_process()
    there = mine.model_copy(update={"place": mine.place.model_copy(update={"host": "node7"}), "job": "41_3", "pid": 12})
    folders[0].mkdir(parents=True)
    (folders[0] / locks.NAME).write_text(there.model_dump_json())
    (folders[0] / "history.csv").write_text("epoch,train_loss\n1,0.5\n2,0.4\n")
    printed = StringIO()
    with locked(folders[1], Watch()):
        asked = argparse.Namespace(grid="toy-grid", out=tmp_path, json=False)
        assert status.run(asked, Console(file=printed, width=200)) == 0
    lines = printed.getvalue().splitlines()
    (first,) = (line for line in lines if "cell-0" in line)
    assert "process 12 on node7, Slurm job 41_3, 2 epochs done" in first
    (second,) = (line for line in lines if "cell-1" in line)
    assert f"process {os.getpid()} on {socket.gethostname()}, 0 epochs done" in second
    hosts = ", ".join(f"1 on {host}" for host in sorted([socket.gethostname(), "node7"]))
    assert lines[-2:] == ["toy-grid: 2 running, 1 waiting", f"running: {hosts}"]


def test_a_lock_knows_its_slurm_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    assert this_process().job == ""
    monkeypatch.setenv("SLURM_JOB_ID", "44")
    assert this_process().job == "44"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "41")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert this_process().job == "41_3"


def test_what_is_left_is_estimated_by_the_epochs_of_like_cells_and_shared_by_the_workers() -> None:
    """Six seconds an epoch: a cell of four takes 24; of one of another recipe nothing is known but that."""
    like: dict[str, Any] = {"freeze": "none", "tuned": 0}
    done = [facts("psc", 5, seed, epochs=2, **like) | {"cell_id": str(seed)} for seed in range(2)]
    finished = {str(n): Finished("psc", False, "fp32", seconds) for n, seconds in enumerate((10.0, 14.0))}
    others = (facts("etf", 5, 0, epochs=4, **like), facts("etf", 5, 0, epochs=9, recipe="other", **like))
    todo = [Planned(cell("psc"), "", told, None) for told in others]
    for workers, seconds in ((1, 48), (2, 24)):
        assert seconds_left(done, finished, todo, workers) == seconds
    assert seconds_left(done, finished, todo[1:], 1) is None
