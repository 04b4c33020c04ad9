"""A grid that is killed, crowded, damaged or short of space ends with the numbers of one that was left alone."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headbench import results
from headbench.results import store
from headbench.runners.commands.main import main
from headbench.runners.execution import locks
from tests.blank import draw_blanks
from tests.forked import Forked, launched

TINY = {"name": "fast_convnet", "widths": [4, 6, 8]}
SLOWLY = """
import time
from headbench.runners.training.checkpoint import Checkpoints
offer = Checkpoints.offer
def slowly(self, state):
    time.sleep({slow})
    self.seconds = 0
    offer(self, state)
Checkpoints.offer = slowly
"""
# What differs between two runs of one cell.
TIMES = [
    "train_seconds",
    "images_per_second",
    "peak_memory_mb",
    "cells_per_device",
    "started_at",
    "finished_at",
    "git_commit",
]


@pytest.fixture(scope="module", autouse=True)
def _blank_pictures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        draw_blanks(patch.setattr)
        yield


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid file of six cells: heads with matchings and momentum, with stages and subclasses, with distributions."""
    path = tmp_path_factory.mktemp("grid") / "small.yaml"
    recipe = {"base": "fast", "epochs": 4, "batch_size": 64, "lr": 0.05, "pad": 1, "flip": False}
    narrow = {"hidden": 16, "projection_dim": 16}
    axes = {
        "dataset": ["digits"],
        "backbone": [TINY],
        "head": ["dl2pa", {"name": "sbcl", "cluster_period": 2, **narrow}, {"name": "proco", **narrow}],
        "feature_dim": [3],
        # On balanced data every class would be one subclass.
        "imbalance_factor": [10],
        "seed": [0, 1],
    }
    path.write_text(yaml.safe_dump({"name": "small", "recipe": recipe, "axes": axes}))
    return path


def command(grid: Path, out: Path, *more: str) -> list[str]:
    return ["--grid", str(grid), "--out", str(out), "--threads", "1", *more]


def launch(grid: Path, out: Path, *more: str, slow: float = 0.0, report: bool = False) -> Forked:
    """Start ``bench.py``; ``slow`` seconds more per epoch, and a checkpoint at every one."""
    words = [*command(grid, out, *more), *([] if report else ["--no-report"])]
    if slow:
        plugin = grid.parent / "slow.py"
        plugin.write_text(SLOWLY.format(slow=slow))
        words += ["--plugin", str(plugin)]
    return launched(words, blank=report)


def wait_for(path: Path, pattern: str, since: float = 0.0) -> Path:
    """Wait for a file of a pattern below a folder that was written after a time; return it."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        for found in path.glob(pattern):
            with suppress(FileNotFoundError):
                if found.stat().st_mtime > since:
                    return found
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} came to be")


@pytest.fixture(scope="module")
def undisturbed(grid: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of one worker that nobody disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert main(command(grid, out, "--workers", "1")) == 0
    return out


def assert_same(out: Path, undisturbed: Path) -> None:
    """Every number and every prediction is the same, bit for bit."""
    if not (out / "small" / "tables").exists():
        assert main(["report", "--grid", "small", "--out", str(out)]) == 0
    rows, expected = (results.load(folder, "small").drop(columns=TIMES) for folder in (out, undisturbed))
    pd.testing.assert_frame_equal(rows, expected, check_exact=True)
    assert set(rows["status"]) == {"done"}
    for cell_id in rows["cell_id"].unique():
        found, wanted = (store.read_predictions(store.cell_folder(folder, cell_id)) for folder in (out, undisturbed))
        assert found.keys() == wanted.keys()
        records = [
            (store.read_result(store.cell_folder(folder, cell_id)) or {})["health"] for folder in (out, undisturbed)
        ]
        assert records[0] == records[1]
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    for name in ("digits-accuracy-last.md", "digits-calibration-last.tex"):
        assert (out / "small" / "tables" / name).read_bytes() == (undisturbed / "small" / "tables" / name).read_bytes()


def leftovers(out: Path) -> set[str]:
    files = {path.name for path in (out / "cells").glob("*/*")}
    return files - {"cell.yaml", "history.csv", "predictions.npz", "geometry.npz", "result.json"}


def test_kills_at_random_times_change_nothing(grid: Path, undisturbed: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    kills, wanted = 0, int(os.environ.get("HEADBENCH_TEST_KILLS", "3"))
    while kills < wanted:
        begun = time.time()
        process = launch(grid, tmp_path, "--workers", "2", slow=0.6)
        wait_for(tmp_path, "cells/*/lock.json", begun)
        time.sleep(chance.uniform(0, 2))
        if process.returncode is not None:
            break
        os.killpg(process.pid, signal.SIGKILL) if kills % 2 else os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
    assert kills >= min(wanted, 3)
    assert main(command(grid, tmp_path, "--workers", "1")) == 0
    assert_same(tmp_path, undisturbed)
    assert main(["clean", "--out", str(tmp_path)]) == 0
    assert leftovers(tmp_path) == set()


def test_three_processes_share_a_grid(grid: Path, undisturbed: Path, tmp_path: Path) -> None:
    team = [launch(grid, tmp_path, "--workers", "1", report=True) for _ in range(3)]
    printed = [process.communicate() for process in team]
    assert [process.returncode for process in team] == [0, 0, 0], printed
    assert_same(tmp_path, undisturbed)
    assert leftovers(tmp_path) == set()


def test_ctrl_c_ends_cleanly_and_the_grid_goes_on(grid: Path, undisturbed: Path, tmp_path: Path) -> None:
    process = launch(grid, tmp_path, "--workers", "2", slow=0.6)
    wait_for(tmp_path, "cells/*/checkpoint.pt")
    os.killpg(process.pid, signal.SIGINT)
    printed = process.communicate()
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    assert "the same command goes on from here" in printed
    assert "lock.json" not in leftovers(tmp_path)
    assert main(command(grid, tmp_path, "--workers", "1")) == 0
    assert_same(tmp_path, undisturbed)


# The parent takes its time to see that a worker has died: the others must not try the cell meanwhile.
DEADLY = """
import os, signal, time
from headbench.runners.execution import workers
from headbench.runners.training.checkpoint import Checkpoints
bury = workers._bury
def late(*arguments):
    time.sleep(1)
    return bury(*arguments)
workers._bury = late
offer = Checkpoints.offer
def die(self, state):
    if self.cell_id == os.environ.get("DOOMED"):
        os.kill(os.getpid(), signal.SIGKILL)
    offer(self, state)
Checkpoints.offer = die
"""


def test_a_worker_that_dies_gets_its_cell_one_more_try_and_one_that_dies_of_its_cell_no_third(
    grid: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    out, doomed = tmp_path / "runs", results.load(undisturbed, "small")["cell_id"].iloc[-1]
    monkeypatch.setenv("DOOMED", doomed)
    process = launch(grid, out, "--workers", "2", "--plugin", str(tmp_path / "deadly.py"), slow=0.4)
    unlucky = wait_for(out, "cells/*/checkpoint.pt").parent
    owner = locks.owner_of(unlucky)
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    printed = process.communicate()
    assert process.returncode == 1, printed
    assert "its worker was ended by signal 9; tried once more" in printed
    rows = results.load(out, "small").set_index("cell_id")
    assert set(rows.index[rows["status"] == "failed"]) == {doomed} != {unlucky.name}
    assert rows.loc[[doomed], "error"].str.contains("ended by signal 9, 2 times").all()
    monkeypatch.delenv("DOOMED")
    assert main(command(grid, out, "--workers", "1", "--retry-failed")) == 0
    assert_same(out, undisturbed)


@pytest.fixture
def finished(undisturbed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(undisturbed, tmp_path / "runs"))


def damage(path: Path, how: str, place: float) -> None:
    content = bytearray(path.read_bytes())
    position = int(place * (len(content) - 1))
    if how == "flip":
        content[position] ^= 1 << position % 8
    path.write_bytes(b"" if how == "empty" else content[:position] if how == "truncate" else content)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 10_000), how=st.sampled_from(["truncate", "empty", "flip"]), place=st.floats(0, 1))
def test_any_damaged_file_is_named_or_its_cell_trained_again(
    undisturbed: Path,
    grid: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    number: int,
    how: str,
    place: float,
) -> None:
    out = tmp_path / "runs"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(undisturbed, out)
    files = sorted(path for path in out.rglob("*") if path.is_file() and not {"figures", "tables"} & set(path.parts))
    damaged = files[number % len(files)]
    before = damaged.read_bytes()
    damage(damaged, how, place)
    if damaged.read_bytes() == before:
        return
    capfd.readouterr()
    status = main(["report", "--grid", str(grid), "--out", str(out)])
    shown = "".join(capfd.readouterr())
    assert "Traceback" not in shown
    rows = results.load(undisturbed, "small").drop(columns=TIMES)
    if status == 0:
        # Nothing that the tables need was hurt: they are what they were, and a damaged input of a figure is named.
        pd.testing.assert_frame_equal(results.load(out, "small").drop(columns=TIMES), rows, check_exact=True)
    else:
        assert damaged.name in {"result.json", "grid.yaml"}
        assert damaged.name in shown
    assert main(command(grid, out, "--workers", "1")) == 0
    assert "Traceback" not in "".join(capfd.readouterr())
    assert_same(out, undisturbed) if damaged.name != "predictions.npz" else None


def test_a_full_disk_stops_the_grid_and_loses_nothing(
    grid: Path, undisturbed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small-disk"
    out.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(out)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("a small file system can only be mounted by root")
    try:
        assert main(command(grid, out, "--workers", "1", "--no-report")) == 1
        process = launch(grid, out, "--workers", "2")
        printed = process.communicate()
        assert process.returncode == 1, printed
        for shown in ("".join(capfd.readouterr()), printed):
            assert "No space left on device" in shown
            assert "Traceback" not in shown
        done = {path.parent.name: path.read_bytes() for path in out.glob("cells/*/result.json")}
        subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
        assert main(command(grid, out, "--workers", "1")) == 0
        assert all((out / "cells" / cell / "result.json").read_bytes() == content for cell, content in done.items())
        assert_same(out, undisturbed)
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_status_and_clean(finished: Path, grid: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cells = sorted(finished.glob("cells/*"))
    (cells[0] / "result.json").unlink()
    (cells[0] / "checkpoint.pt").write_bytes(b"orphan")
    (cells[1] / "checkpoint.pt").write_bytes(b"orphan")
    (cells[1] / ".result.json.x1").write_bytes(b"half")
    (cells[1] / ".env").write_bytes(b"somebody's own")
    damage(cells[2] / "predictions.npz", "flip", 0.5)
    assert main(["status", "--grid", str(grid), "--out", str(finished)]) == 0
    shown = " ".join("".join(capfd.readouterr().out.split()).split("│"))
    assert (
        "small:1waiting,4done,1damaged" in shown
        or {"1 waiting", "1 damaged"} <= set(shown.split(", "))
        or "1damaged" in shown
    )
    assert main(["clean", "--out", str(finished)]) == 0
    assert not (cells[1] / "checkpoint.pt").exists()
    assert not (cells[1] / ".result.json.x1").exists()
    assert (cells[1] / ".env").exists()
    assert (cells[0] / "checkpoint.pt").exists()
    assert all((cell / "result.json").exists() for cell in cells[1:])
