"""A grid on a real Slurm: two nodes of one core on this machine, without munge and without a database.

``python -m pytest -n 0 -m slow tests/runners/engines/test_slurm_real.py``, as root, where slurmctld and slurmd are
installed (Debian: slurmctld, slurmd, slurm-client); they are started and stopped here.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import yaml

from headbench.results import store
from headbench.results.tuning import searches
from headbench.runners.commands.main import main
from headbench.runners.execution import locks
from headbench.runners.execution.locks import Watch, locked
from headbench.runners.execution.owner import Owner
from tests.runners.helpers import QUICK, TINY

pytestmark = pytest.mark.slow
T = TypeVar("T")
STOPPED = "stopped; finished cells are kept"
LOCAL = ["--precision", "fp32", "--device", "cpu", "--workers", "1", "--threads", "1", "--no-report"]
DAEMONS = ("slurmctld", "slurmd", "sbatch", "scontrol")
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=20
NodeName=c0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=1000 State=UNKNOWN
NodeName=c1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes=c0,c1 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes=c0,c1 MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
SLOWLY = """
import os, time
from headbench.heads import HEADS
from headbench.heads.psc import PSCHead

class Slowly(PSCHead):
    def on_epoch_start(self, context):
        time.sleep(float(os.environ.get("SLOW", 0)))
        return super().on_epoch_start(context)

if "slowly" not in HEADS.names():
    HEADS.register("slowly", version=1)(Slowly)
"""


def called(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def ports(count: int) -> list[int]:
    """Ports that nobody uses."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two nodes that take jobs."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"no Slurm is installed here: no {missing[0]}" if missing else "only root can start Slurm here")
    folder, before = tmp_path_factory.mktemp("slurm"), dict(os.environ)
    for name in ("state", "spool", "log", "run"):
        (folder / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONF.format(host=host, folder=folder, ports=ports(3)))
    os.environ |= {"SLURM_CONF": str(folder / "slurm.conf"), "SLOW": "0.7"}
    try:
        for words in (["slurmctld"], ["slurmd", "-N", "c0"], ["slurmd", "-N", "c1"]):
            called(*words)
        until(lambda: called("sinfo", "-h", "-p", "low", "-o", "%T %D") == "idle 2")
        yield
    finally:
        for file in (folder / "run").glob("*.pid"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGTERM)
        os.environ.clear()
        os.environ.update(before)


def until(ask: Callable[[], T | None], seconds: float = 400) -> T:
    """Wait for an answer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.3)
    raise AssertionError(f"no answer: {called('squeue', '--array')}")


def words(folder: Path, seeds: int, epochs: int) -> list[str]:
    """Ask for a grid of so many cells."""
    axes = {"dataset": ["digits"], "backbone": [TINY], "head": ["slowly"], "feature_dim": [5], "seed": [*range(seeds)]}
    recipe = QUICK | {"epochs": epochs}
    (folder / "grid.yaml").write_text(yaml.safe_dump({"name": "tiny", "recipe": recipe, "axes": axes}))
    (folder / "slowly.py").write_text(SLOWLY)
    return ["--grid", str(folder / "grid.yaml"), "--plugin", str(folder / "slowly.py"), "--data", str(folder)]


def submit(folder: Path, asked: list[str], tasks: int, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Submit a grid; return the numbers of the array and of the report's job."""
    more = ["--out", str(folder / "my runs"), "--tasks", str(tasks), "--cpus", "1", "--partition", "low"]
    assert main(["submit", "slurm", *asked, *more]) == 0
    line = capsys.readouterr().out.splitlines()[0].replace(",", "").split()
    return line[line.index("array") + 1], line[-1]


def held(folder: Path) -> dict[str, tuple[Owner, Path]]:
    """Who holds which cell, by its Slurm job, of the cells of which an epoch is done."""
    cells = [path.parent for path in folder.glob("my runs/cells/*/lock.json") if (path.parent / "history.csv").exists()]
    owners = [(owner, cell) for cell in cells if (owner := locks.owner_of(cell)) is not None]
    return {owner.job: (owner, cell) for owner, cell in owners}


def printed(folder: Path, job: str) -> str:
    return (folder / f"my runs/tiny+fp32/slurm/drain-{job}.txt").read_text()


def left(*jobs: str) -> str:
    """What Slurm still has to do of jobs; those that wait for a while after they were queued again start now."""
    rows = called("squeue", "-h", "--array", "-j", ",".join(jobs), "-o", "%i %r")
    for row in rows.splitlines():
        job, reason = row.split(maxsplit=1)
        if reason == "BeginTime":
            with suppress(subprocess.CalledProcessError):
                called("scontrol", "update", f"JobId={job}", "StartTime=now")
    return rows


def test_an_array_with_a_kill_a_requeue_a_preemption_and_a_time_limit_ends_with_the_bits_of_a_local_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = words(tmp_path, seeds=8, epochs=8)
    array, report = submit(tmp_path, asked, 3, capsys)
    first, second, third = (f"{array}_{task}" for task in range(3))
    running = until(lambda: found if {first, second} <= (found := held(tmp_path)).keys() else None)
    assert main(["status", "--grid", "tiny+fp32", "--out", str(tmp_path / "my runs")]) == 0
    shown = capsys.readouterr().out
    assert f"Slurm job {first}" in shown.replace("\n", "")
    assert f"running: 2 on {socket.gethostname()}" in shown
    # Killed: Slurm does not start it again, and another task goes on with its cell.
    owner, killed = running[first]
    os.kill(owner.pid, signal.SIGKILL)
    # Queued again by hand.
    called("scontrol", "requeue", second)
    until(lambda: STOPPED in printed(tmp_path, second))
    assert (running[second][1] / "checkpoint.pt").exists() or (running[second][1] / "result.json").exists()
    # Preempted, by a job that wants both nodes.
    until(lambda: left(array, report) and third in held(tmp_path))
    called("sbatch", "-p", "high", "-N", "2", "-o", "/dev/null", "--wrap", "sleep 1")
    until(lambda: STOPPED in printed(tmp_path, third))
    assert "DUE TO PREEMPTION" in printed(tmp_path, third)
    # Out of time: Slurm sends this signal two minutes before the end.
    until(lambda: left(array, report) and third in held(tmp_path))
    called("scancel", "--signal=USR1", "--batch", third)
    until(lambda: f"note: Slurm job {third} is queued again" in printed(tmp_path, third))
    until(lambda: not left(array, report))
    assert "resumed at epoch" in "".join(printed(tmp_path, job) for job in (first, second, third))
    assert (killed / "result.json").exists()
    assert (tmp_path / "my runs" / "tiny+fp32" / "report.html").exists()
    assert main(["run", *asked, *LOCAL, "--out", str(tmp_path / "local")]) == 0
    cells = [path.parent.name for path in (tmp_path / "local").glob("cells/*/result.json")]
    assert len(cells) == 8
    for cell in cells:
        found, wanted = (store.read_predictions(tmp_path / out / "cells" / cell) for out in ("my runs", "local"))
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_task_with_nothing_to_take_ends_within_a_minute(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = words(tmp_path, seeds=2, epochs=2)
    assert main(["run", *asked, *LOCAL, "--out", str(tmp_path / "my runs"), "--dry-run", "--json"]) == 0
    mine, other = (cell["cell_id"] for cell in json.loads(capsys.readouterr().out)["cells"])
    with locked(store.cell_folder(tmp_path / "my runs", mine), Watch()):
        array, report = submit(tmp_path, asked, 2, capsys)
        until((store.cell_folder(tmp_path / "my runs", other) / "result.json").exists)
        last = time.monotonic()
        until(lambda: not left(array))
        assert time.monotonic() - last < 60
        until(lambda: not left(report))
    assert not (store.cell_folder(tmp_path / "my runs", mine) / "result.json").exists()


def test_a_cancelled_array_stays_cancelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = words(tmp_path, seeds=2, epochs=30)
    array, report = submit(tmp_path, asked, 2, capsys)
    until(lambda: len(held(tmp_path)) == 2)
    called("scancel", array, report)
    until(lambda: not left(array, report))
    assert not held(tmp_path)
    assert len(list(tmp_path.glob("my runs/cells/*/checkpoint.pt"))) == 2


def test_a_search_has_all_its_trials_though_a_task_is_killed_and_one_is_queued_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = words(tmp_path, seeds=1, epochs=8)
    array, report = submit(tmp_path, [*asked, "--trials", "8"], 2, capsys)
    first, second = (f"{array}_{task}" for task in range(2))
    running = until(lambda: found if {first, second} <= (found := held(tmp_path)).keys() else None)
    os.kill(running[first][0].pid, signal.SIGKILL)
    called("scontrol", "requeue", second)
    until(lambda: not left(array, report))
    found = searches.trials(searches.studies(tmp_path / "my runs", "tiny+fp32"))
    counted = found[found["state"].isin(["complete", "pruned"])]
    assert len(counted) == len(found) == 8
    assert counted["cell_id"].is_unique
    for trial in counted.itertuples():
        folder = store.cell_folder(tmp_path / "my runs", str(trial.cell_id))
        assert (folder / ("result.json" if trial.state == "complete" else "pruned.txt")).is_file()
    assert (tmp_path / "my runs" / "tiny+fp32" / "tuned.yaml").is_file()
    assert (tmp_path / "my runs" / "tiny+fp32" / "report.html").is_file()
