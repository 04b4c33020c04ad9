"""A search whose processes are killed, or that two processes share, ends with the trials of one left alone."""

import random
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd

from headbench.runners.execution import workers
from tests.runners.helpers import QUICK, grid
from tests.runners.search.helpers import TIMES, run, trials

KILLS, TRIALS = 10, 2
GRID = grid(axes={"head": ["psc", "ldam"]}, recipe=QUICK | {"epochs": 4})


def search(out: str) -> None:
    """Search, in a process of its own."""
    run(Path(out), TRIALS, GRID)


def started(out: Path) -> BaseProcess:
    """A process that searches, forked from one that has imported all it needs."""
    workers.CONTEXT.set_forkserver_preload([*workers.PRELOAD, __name__])
    process = workers.CONTEXT.Process(target=search, args=(str(out),))
    process.start()
    return process


def written(out: Path) -> int:
    """How much a search has written: the lines of its journal and of the histories of its cells."""
    lines = 0
    for path in [out / "tiny" / "search" / "journal.log", *out.glob("cells/*/history.csv")]:
        with suppress(FileNotFoundError):
            lines += path.read_bytes().count(b"\n")
    return lines


def test_ten_kills_and_two_drivers_lose_no_trial_and_count_none_twice(tmp_path: Path) -> None:
    alone, killed, shared = (tmp_path / name for name in ("alone", "killed", "shared"))
    started(alone).join()
    expected = trials(alone).drop(columns=TIMES)
    assert expected.groupby("head_label").size().tolist() == [TRIALS, TRIALS]
    chance = random.Random(0)
    for moment in sorted(chance.sample(range(written(alone)), KILLS)):
        process = started(killed)
        while process.is_alive() and written(killed) < moment:
            time.sleep(0.005)
        process.join(chance.uniform(0, 0.1))
        process.kill()
        process.join()
    rest = [started(killed), started(shared), started(shared)]
    for process in rest:
        process.join()
        assert process.exitcode == 0
    pd.testing.assert_frame_equal(trials(killed).drop(columns=TIMES), expected)
    both = trials(shared)
    assert both.groupby("head_label").size().tolist() == [TRIALS, TRIALS]
    assert set(both["state"]) == {"complete"}
    assert both["cell_id"].nunique() == 2 * TRIALS
