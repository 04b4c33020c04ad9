"""What is shown of cells while they are trained: a display on a terminal, plain lines elsewhere."""

import errno
import fcntl
import os
import pty
import re
import struct
import termios
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from headbench.runners.execution.plan import Planned
from headbench.runners.execution.progress import Display
from headbench.runners.training import history
from headbench.runners.training.checkpoint import Checkpoints
from headbench.runners.training.history import Glimpse
from headbench.runners.training.train import Training
from tests.runners.helpers import CPU, QUICK, cell, cells, digits, planned

ROW = {"epoch": 1, "train_loss": 1.5, "val_top1": 0.5, "images": 1000, "seconds": 2.0}


@pytest.fixture(scope="module")
def two() -> list[Planned]:
    return planned(*cells(axes={"seed": [0, 1]}))


class Screen:
    """A pseudo-terminal of 80 columns."""

    def __init__(self) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.theirs = os.fdopen(theirs, "w")
        self.console = Console(file=self.theirs)

    def newest(self, display: Display) -> list[str]:
        """Return the lines that a display draws now."""
        assert display.live
        display.live.refresh()
        print("\0", end="", file=self.theirs, flush=True)
        text = b""
        while not text.endswith(b"\0"):
            text += os.read(self.ours, 100_000)
        frame = text[text.rindex(b"cells") : -1].decode()
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frame).splitlines()]


def test_a_terminal_shows_the_steps_of_the_epoch_that_runs(two: list[Planned], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    display = Display(screen.console, 2, 0)
    assert display.live
    display.live.auto_refresh = False
    with display:
        display.started(two[0])
        assert screen.newest(display)[1] == "digits psc d=5 seed=0: starting"
        display.glimpse(two[0], Glimpse(1, 0, 80))
        assert re.fullmatch("steps .* 0/80", screen.newest(display)[1])
        display.glimpse(two[0], Glimpse(1, 40, 80, 1.23456, 5000.4))
        drawn = screen.newest(display)
        assert re.fullmatch(r"cells .* 0/2 +0 done, 1 running, 0 failed; \d:\d\d:\d\d left", drawn[0])
        assert re.fullmatch("steps .*╸?━* 40/80", drawn[1])
        assert drawn[2] == "digits psc d=5 seed=0: epoch 1/2 50 %, loss 1.2346, 5000 images/s"
        display.epoch(two[0], ROW)
        assert screen.newest(display)[2] == "digits psc d=5 seed=0: epoch 1/2, loss 1.5000, val 50.0 %, 500 images/s"
        display.glimpse(two[0], Glimpse(2, 8, 80, 1.0, 500.0))
        display.started(two[1])
        # Of several cells there is a line each.
        assert screen.newest(display)[1:] == [
            "digits psc d=5 seed=0: epoch 2/2 10 %, loss 1.0000, 500 images/s (val 50.0 %",
            "before)",
            "digits psc d=5 seed=1: starting",
        ]


def test_elsewhere_a_line_comes_once_in_a_while(two: list[Planned], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("headbench.runners.execution.progress.time.monotonic", lambda: now[0])
    printed = StringIO()
    display = Display(Console(file=printed, width=80), 2, 0)
    display.started(two[0])
    for seconds, seen in (
        (1, Glimpse(2, 0, 80)),
        (50, Glimpse(2, 8, 80, 2.0, 9.0)),
        (110, Glimpse(2, 40, 80, 1.0, 9.0)),
    ):
        now[0] = 100.0 + seconds
        display.glimpse(two[0], seen)
    # The epoch of the checkpoint was not trained in these 110 s, so half an epoch of two cells' four took them.
    assert printed.getvalue().splitlines() == [
        "  digits psc d=5 seed=0: resumed at epoch 2/2",
        "  digits psc d=5 seed=0: epoch 2/2 50 %, loss 1.0000, 9 images/s, 0:09:10 left",
    ]


def test_glimpses_are_of_the_training_and_change_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = cell("psc", recipe=QUICK | {"epochs": 1, "batch_size": 256})
    rows: list[dict[str, Any]] = []
    Training(one, digits(), CPU).run(rows.append)
    monkeypatch.setattr(history, "SECONDS", 0.0)
    seen: list[Glimpse] = []
    trained = Training(one, digits(), CPU)
    checkpoints = Checkpoints(tmp_path, "id", seconds=0)
    trained.run(lambda _: None, checkpoints, seen.append)
    assert [(glimpse.epoch, glimpse.step) for glimpse in seen] == [(1, step) for step in range(6)]
    assert {glimpse.steps for glimpse in seen} == {5}
    ends = [glimpse for glimpse in seen if glimpse.step == glimpse.steps]
    assert [glimpse.loss for glimpse in ends] == [row["train_loss"] for row in rows]
    assert [row["train_loss"] for row in trained.history] == [row["train_loss"] for row in rows]
    assert all(glimpse.loss is None for glimpse in seen if not glimpse.step)


def test_glimpses_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    now, seen = [0.0], list[Glimpse]()
    monkeypatch.setattr("headbench.runners.training.history.time.perf_counter", lambda: now[0])
    glimpses = history.Glimpses(seen.append, 1, 1000, torch.device("cpu"))
    for step in range(1, 1001):
        now[0] = step / 8
        glimpses.offer(torch.tensor(2.0 * step), step, 32 * step)
    assert [glimpse.step for glimpse in seen] == [0, *range(1, 1001, 4)]
    assert {(glimpse.loss, glimpse.speed) for glimpse in seen[1:]} == {(2.0, 256.0)}


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ({"top1": 0.5, "val_top1": 0.25}, "50.00 % on test"),
        ({"top1": 0.5, "val_top1": None}, "50.00 % on test"),
        ({"val_top1": 0.25}, "25.00 % on validation"),
    ],
    ids=["cell", "cell without validation", "trial of a search"],
)
def test_a_finished_cell_tells_its_accuracy_on_test_and_a_trial_that_on_validation(
    measured: dict[str, Any], told: str, two: list[Planned]
) -> None:
    printed = StringIO()
    with Display(Console(file=printed, width=200), 2, 0) as display:
        display.started(two[0])
        display.finished(two[0], {"selections": {"last": measured}, "train_seconds": 2.0, "images_per_second": 3.0})
    assert told in printed.getvalue()


def test_a_terminal_that_has_gone_is_no_fault_of_a_cell(two: list[Planned]) -> None:
    class Gone(StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    class Full(StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    display = Display(Console(file=Gone()), 2, 0)
    for one in two:
        display.started(one)
        display.epoch(one, ROW)
        display.failed(one, "no luck")
    assert len(display.ended) == 2
    with pytest.raises(OSError, match="No space left"):
        Display(Console(file=Full()), 2, 0).failed(two[0], "no luck")


def test_a_cell_that_another_worker_has_lost_goes_on(two: list[Planned]) -> None:
    """Its folder was removed while the first trained it: the second has begun when the first hears of it."""
    display = Display(Console(file=StringIO()), 2, 0)
    display.started(two[0])
    display.started(two[0])
    display.stopped(two[0], "another process has taken its lock")
    display.glimpse(two[0], Glimpse(1, 1, 2))
    display.epoch(two[0], ROW)
    assert list(display.running) == [two[0].cell_id]
