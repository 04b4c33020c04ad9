"""Runs that a cluster stops, cells that kill their process, and drainers that find nothing to do."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from headbench.results import store
from headbench.runners.commands.main import main
from headbench.runners.execution import attempts, locks, owner, queue, workers
from headbench.runners.execution.locks import Watch, locked
from headbench.runners.grid import config
from headbench.runners.training.checkpoint import Checkpoints
from tests.forked import launched
from tests.runners.helpers import QUICK, TINY, cell, cells, planned, way

ROOT = Path(__file__).parents[1]
# Slows epochs down, and lets a head kill its process, at the start of an epoch from which on it shall.
PLUGIN = """
import os, signal, time
from headbench.heads import HEADS
from headbench.heads.psc import PSCHead

class Deadly(PSCHead):
    def __init__(self, info, feature_dim, *, epoch: int = 0):
        super().__init__(info, feature_dim)
        self.epoch = epoch

    def on_epoch_start(self, context):
        time.sleep(float(os.environ.get("SLOW", 0)))
        if context.epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

if "deadly" not in HEADS.names():  # a test runs several commands
    HEADS.register("deadly", version=1)(Deadly)
"""


def write_grid(folder: Path, *heads: str | dict[str, object], epochs: int = 2) -> list[str]:
    """Write a grid of cells on the digits and the plugin; return the words that train it."""
    axes = {"dataset": ["digits"], "backbone": [TINY], "head": list(heads), "feature_dim": [5]}
    (folder / "grid.yaml").write_text(
        yaml.safe_dump({"name": "tiny", "recipe": QUICK | {"epochs": epochs}, "axes": axes})
    )
    (folder / "plugin.py").write_text(PLUGIN)
    return [
        "--grid",
        str(folder / "grid.yaml"),
        "--out",
        str(folder / "runs"),
        "--plugin",
        str(folder / "plugin.py"),
        "--threads",
        "1",
    ]


def cells_of(folder: Path) -> dict[str, Path]:
    """The folders of a grid's cells, by head."""
    return {yaml.safe_load(path.read_text())["head"]: path.parent for path in folder.glob("runs/cells/*/cell.yaml")}


def wait_for_epochs(folder: Path, epochs: int) -> Path:
    """Wait until a cell has finished so many epochs; return its folder."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        for path in folder.glob("runs/cells/*/history.csv"):
            if len(pd.read_csv(path)) >= epochs:
                return path.parent
        time.sleep(0.05)
    raise AssertionError("no epoch was finished")


@pytest.mark.parametrize(("number", "team"), [(signal.SIGTERM, 1), (signal.SIGUSR1, 2), (signal.SIGUSR2, 1)])
def test_a_signal_of_the_cluster_writes_the_checkpoint_and_has_a_status_of_its_own(
    number: signal.Signals, team: int, tmp_path: Path
) -> None:
    """All processes of the job get it, and then again."""
    heads = [{"name": "deadly", "epoch": 99}, {"name": "deadly", "epoch": 100}][:team]
    words = [*write_grid(tmp_path, *heads, epochs=20), "--no-report", "--workers", str(team)]
    process = launched(words, {"SLOW": "0.4"})
    folder = wait_for_epochs(tmp_path, 2)
    os.killpg(process.pid, number)
    time.sleep(0.02)
    with suppress(ProcessLookupError):  # a fast machine has ended by then
        os.killpg(process.pid, number)
    printed = process.communicate()
    assert process.returncode == 128 + number
    assert "Traceback" not in printed
    assert printed.endswith("bench.py: stopped; finished cells are kept, and the same command goes on from here\n")
    state = Checkpoints(folder, folder.name).load()
    assert state is not None
    assert len(state["history"]) >= len(pd.read_csv(folder / "history.csv")) >= 2
    assert {path.name for path in folder.iterdir()} == {"cell.yaml", "history.csv", "checkpoint.pt"}
    if number == signal.SIGTERM:
        assert main([*words, "--workers", "1"]) == 0
        assert main([*words, "--workers", "1", "--out", str(tmp_path / "undisturbed")]) == 0
        found, wanted = (
            store.read_predictions(out / "cells" / folder.name) for out in (tmp_path / "runs", tmp_path / "undisturbed")
        )
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


STARTING = """
import multiprocessing, os, pathlib, signal, time
from headbench.runners.execution import workers
workers.PATIENCE = 10_000
if multiprocessing.parent_process():
    signal.pthread_sigmask(signal.SIG_BLOCK, workers.SIGNALS)
    pathlib.Path(__file__).with_name(f"{os.getpid()}.started").touch()
    time.sleep(10_000)
"""


def test_nobody_waits_for_a_worker_that_is_still_starting(tmp_path: Path) -> None:
    words = [*write_grid(tmp_path, "psc", "hpn"), "--workers", "2", "--no-report"]
    (tmp_path / "starting.py").write_text(STARTING)
    process = launched([*words, "--plugin", str(tmp_path / "starting.py")])
    deadline = time.monotonic() + 200
    while len(list(tmp_path.glob("*.started"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed = process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in printed


def test_a_signal_at_the_very_end_does_not_change_the_status(tmp_path: Path) -> None:
    """After its last message the interpreter takes a while to end, and puts the usual handlers back before it has."""
    late = "import atexit, os, signal, sys; atexit.register(os.kill, os.getpid(), signal.SIGTERM)"
    code = f"{late}; from headbench.runners.commands import main; main.main = lambda words: 143; sys.exit(main.entry())"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 143


def test_a_cell_that_kills_its_process_fails_and_the_grid_goes_on(tmp_path: Path) -> None:
    """The next start of a run with one process knows: a process of its own dies in its place.

    Several workers: ``test_survival.py``.
    """
    words = [*write_grid(tmp_path, "deadly", "psc"), "--workers", "1", "--no-report"]
    process = launched(words)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    process = launched(words)
    printed = process.communicate()
    assert process.returncode == 1, printed
    assert "Traceback" not in printed
    folders = cells_of(tmp_path)
    assert (folders["psc"] / "result.json").is_file()
    assert (
        folders["deadly"] / "error.txt"
    ).read_text() == "its worker was ended by signal 9, 2 times (killed, or out of memory)\n"
    assert {path.name for path in folders["deadly"].iterdir()} == {"cell.yaml", "error.txt"}


BETWEEN = """
from headbench.runners.execution import queue, workers
ended = queue._ended
def broken(planned, way):
    if planned.cell.head == "hpn" and isinstance(way.events, workers.Sender):
        raise RuntimeError("no luck")
    return ended(planned, way)
queue._ended = broken
"""


def test_workers_that_die_between_cells_are_counted(tmp_path: Path) -> None:
    words = [*write_grid(tmp_path, "psc", "hpn"), "--workers", "2", "--no-report"]
    (tmp_path / "between.py").write_text(BETWEEN)
    process = launched([*words, "--plugin", str(tmp_path / "between.py")])
    printed = process.communicate()
    assert process.returncode == 1, printed
    last = printed.splitlines()[-1]
    assert "workers were lost without a cell to blame, and no other is started; next is cell " in last
    assert last.endswith(", hpn on digits"), "the other cell was trained before the last worker was lost"
    assert printed.count("RuntimeError: no luck") <= 3


def test_nobody_waits_who_need_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*write_grid(tmp_path, "psc", "hpn"), "--workers", "1"]
    contents, place = config.read_grid(str(tmp_path / "grid.yaml"))
    first, second = planned(*config.expand(config.parse_grid(contents, place), "auto"))
    folders = [store.cell_folder(tmp_path / "runs", one.cell_id) for one in (first, second)]
    with locked(folders[0], Watch()):
        assert main([*words, "--no-wait", "--no-report"]) == 0
    assert not (folders[0] / "result.json").exists()
    assert (folders[1] / "result.json").exists()
    assert not (tmp_path / "runs" / "tiny" / "report.html").exists()
    capsys.readouterr()
    store.write_text(folders[0] / "error.txt", "no luck\n")
    assert main([*words, "--no-report"]) == 1


@pytest.mark.parametrize("held", [1, 12])
def test_who_waits_asks_less_and_less_often(held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the more cells there are to ask for, the less often."""
    todo, pauses = planned(*cells(axes={"seed": list(range(held))})), list[float]()
    folders, holders = [store.cell_folder(tmp_path, one.cell_id) for one in todo], ExitStack()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 30:
            for folder in folders:
                store.write_text(folder / "error.txt", "failed elsewhere\n")
            holders.close()

    monkeypatch.setattr("headbench.runners.execution.queue.time.sleep", sleep)
    told: list[str] = []

    class Told(workers.Sender):
        def send(self, *message: object) -> None:
            told.append(str(message[0]))

    with holders:
        for folder in folders:
            holders.enter_context(locked(folder, Watch()))
        queue.run(todo, way(tmp_path, Told(None)))  # type: ignore[arg-type]
    assert told == ["failed"] * held
    assert pauses[0] == 0.5 * held
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30


class TestAttempts:
    """What counts as a death of a cell."""

    def died(self, folder: Path, epochs: int) -> None:
        """An attempt that got so far and ended without a word."""
        attempts.begin(folder)
        (folder / "history.csv").write_text("\n".join(["epoch", *map(str, range(epochs)), ""]))

    def test_attempts_without_a_new_epoch_are_counted(self, tmp_path: Path) -> None:
        assert attempts.deaths(tmp_path) == 0
        for expected, epochs in ((0, 2), (1, 1), (2, 2), (0, 3), (1, 3), (2, 0)):
            self.died(tmp_path, epochs)
            assert attempts.deaths(tmp_path) == expected
        attempts.end(tmp_path)
        assert attempts.deaths(tmp_path) == 0

    def test_a_machine_that_was_started_again_blames_no_cell(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = owner.here()
        for boot in range(5):
            monkeypatch.setattr(owner, "here", lambda boot=boot: here.model_copy(update={"boot": f"boot {boot}"}))
            assert attempts.deaths(tmp_path) == 0
            self.died(tmp_path, 0)
            assert attempts.deaths(tmp_path) == 1

    @pytest.mark.parametrize(
        "content", ["", "[" * 4000, '{"count": "two"}', '{"count": 1e999, "epochs": 0}', "[]", "\0"]
    )
    def test_a_count_that_cannot_be_read_is_none(self, content: str, tmp_path: Path) -> None:
        (tmp_path / attempts.NAME).write_text(content)
        assert attempts.deaths(tmp_path) == 0
        attempts.begin(tmp_path)
        assert attempts.deaths(tmp_path) == 1

    def test_deaths_that_nobody_saw_fail_a_cell_later(self, tmp_path: Path) -> None:
        (one,) = planned(cell("psc"))
        folder = store.cell_folder(tmp_path, one.cell_id)
        for _ in range(attempts.UNSEEN):
            assert not (folder / "error.txt").exists()
            self.died(folder, 0)
        queue.run([one], way(tmp_path, Silent()))
        assert (
            folder / "error.txt"
        ).read_text() == "its process ended without a word, 5 times (killed, or out of memory)\n"
        assert not (folder / attempts.NAME).exists()


class Silent(workers.Sender):
    """Tells nobody."""

    def __init__(self) -> None:
        pass

    def send(self, *message: object) -> None:
        pass


def test_clean_takes_nothing_from_the_living(tmp_path: Path) -> None:
    held, stale = (tmp_path / "cells" / name for name in ("held", "stale"))
    for folder in (held, stale):
        folder.mkdir(parents=True)
        for name in (".result.json.x1", "claim.json"):
            (folder / name).write_text("{}")
            os.utime(folder / name, (time.time() - 1000,) * 2)
        (folder / "history.csv").touch()
    other = owner.this_process().model_copy(update={"token": "another"})
    (held / locks.NAME).write_text(other.model_dump_json())
    (stale / locks.NAME).write_text(other.model_copy(update={"ticks": 1}).model_dump_json())
    assert main(["clean", "--out", str(tmp_path)]) == 0
    assert {path.name for path in held.iterdir()} == {".result.json.x1", "claim.json", "history.csv", "lock.json"}
    assert {path.name for path in stale.iterdir()} == {"history.csv"}
