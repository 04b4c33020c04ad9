"""Cells on two devices from the command line: whichever of their processes is killed, the numbers are the same."""

import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from headbench.results import store
from tests.forked import Forked, launched
from tests.runners.helpers import QUICK, TINY

pytestmark = pytest.mark.slow
# Tells which process is which, slows epochs down, and kills one of its processes once, in the middle of an epoch.
PLUGIN = """
import os, signal, time
from pathlib import Path
import torch.distributed as dist
from headbench.heads import HEADS
from headbench.heads.dl2pa import DL2PAHead

PROCESSES = Path(os.environ["PROCESSES"])

class Deadly(DL2PAHead):
    def on_epoch_start(self, context):
        if dist.is_initialized():
            (PROCESSES / f"{context.epoch}-{dist.get_rank()}").write_text(str(os.getpid()))
        time.sleep(float(os.environ["SLOW"]))
        return super().on_epoch_start(context)

    def observe(self, features, targets, context):
        super().observe(features, targets, context)
        killed = PROCESSES / "killed"
        if dist.is_initialized() and os.environ["KILL"] == f"{dist.get_rank()} {context.step}" and not killed.exists():
            killed.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

HEADS.register("deadly", version=1)(Deadly)
"""


def start(folder: Path, *more: str, slow: float = 0, kill: str = "") -> Forked:
    """Start a cell of four epochs on two devices; ``kill`` is a rank and a step."""
    (folder / "processes").mkdir(parents=True)
    (folder / "plugin.py").write_text(PLUGIN)
    axes = {"dataset": ["digits"], "backbone": [TINY], "head": ["deadly"], "feature_dim": [5]}
    recipe = QUICK | {"epochs": 4, "mixup": 0.2}
    (folder / "grid.yaml").write_text(yaml.safe_dump({"name": "tiny", "recipe": recipe, "axes": axes}))
    words = ["--grid", str(folder / "grid.yaml"), "--out", str(folder / "runs"), "--plugin", str(folder / "plugin.py")]
    words += ["--devices", "2", "--workers", "1", "--threads", "1", "--precision", "fp32", "--no-report"]
    return launched([*words, *more], {"SLOW": str(slow), "KILL": kill, "PROCESSES": str(folder / "processes")})


def ended(program: Forked, folder: Path) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Wait for the end; return the predictions and the history of the cell."""
    printed = program.communicate()
    assert program.returncode == 0, printed
    (cell,) = (path.parent for path in folder.glob("runs/cells/*/cell.yaml"))
    result = store.read_result(cell)
    assert result is not None
    assert result["provenance"]["devices"] == 2
    assert not (cell / "lock.json").exists()
    with np.load(cell / "predictions.npz") as arrays:
        return dict(arrays), pd.read_csv(cell / "history.csv").drop(columns="seconds")


def process_in(file: Path, program: Forked) -> int:
    """Wait for a file that tells of a process at an epoch."""
    deadline = time.monotonic() + 300
    while not file.exists() or not file.read_text():
        assert program.returncode is None, program.communicate()
        assert time.monotonic() < deadline, "no such epoch"
        time.sleep(0.05)
    return int(file.read_text())


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_cell_whose_process_is_killed_goes_on_with_the_same_numbers(tmp_path: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    arrays, history = ended(start(undisturbed), undisturbed)
    for rank in (0, 1):
        folder = tmp_path / f"killed{rank}"
        # A checkpoint after every step.
        program = start(folder, "--checkpoint-minutes", "1e-9", kill=f"{rank} 25")
        found, rows = ended(program, folder)
        assert found.keys() == arrays.keys()
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
        pd.testing.assert_frame_equal(rows, history)
        processes = {path.name: path.read_text() for path in (folder / "processes").iterdir()}
        assert processes[f"2-{rank}"] == processes["killed"] != processes[f"3-{rank}"], (
            "it did not go on within the epoch"
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_where_the_run_is_stopped(tmp_path: Path, number: int) -> None:
    program = start(tmp_path, slow=2)
    process_in(tmp_path / "processes" / "1-1", program)
    program.send_signal(number)
    try:
        program.communicate(60)
    except subprocess.TimeoutExpired:
        pytest.fail("it goes on")
    processes = [int(path.read_text()) for path in (tmp_path / "processes").iterdir()]
    deadline = time.monotonic() + 30
    while any(map(alive, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (cell,) = (path.parent for path in tmp_path.glob("runs/cells/*/cell.yaml"))
    assert (cell / "checkpoint.pt").exists()
