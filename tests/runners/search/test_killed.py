"""A search whose processes are killed, or that two processes share, ends with the trials of one left alone."""

import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd

from tests.forked import Forked
from tests.runners.helpers import QUICK, grid
from tests.runners.search.helpers import TIMES, run, trials

KILLS, TRIALS = 10, 2
GRID = grid(axes={"head": ["psc", "ldam"]}, recipe=QUICK | {"epochs": 4})


def search(out: str) -> None:
    """Search, in a process of its own."""
    run(Path(out), TRIALS, GRID)


def written(out: Path) -> int:
    """How much a search has written: the lines of its journal and of the histories of its cells."""
    lines = 0
    for path in [out / "tiny" / "search" / "journal.log", *out.glob("cells/*/history.csv")]:
        with suppress(FileNotFoundError):
            lines += path.read_bytes().count(b"\n")
    return lines


def test_ten_kills_and_two_drivers_lose_no_trial_and_count_none_twice(tmp_path: Path) -> None:
    alone, killed, shared = (tmp_path / name for name in ("alone", "killed", "shared"))
    Forked(search, str(alone)).communicate()
    expected = trials(alone).drop(columns=TIMES)
    assert expected.groupby("head_label").size().tolist() == [TRIALS, TRIALS]
    chance = random.Random(0)
    for moment in sorted(chance.sample(range(written(alone)), KILLS)):
        process = Forked(search, str(killed))
        while process.returncode is None and written(killed) < moment:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.communicate()
    for process in [Forked(search, str(out)) for out in (killed, shared, shared)]:
        printed = process.communicate()
        assert process.returncode == 0, printed
    pd.testing.assert_frame_equal(trials(killed).drop(columns=TIMES), expected)
    both = trials(shared)
    assert both.groupby("head_label").size().tolist() == [TRIALS, TRIALS]
    assert set(both["state"]) == {"complete"}
    assert both["cell_id"].nunique() == 2 * TRIALS
