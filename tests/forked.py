"""Processes forked from one that has made the imports: a start of ``bench.py`` costs no seconds of them."""

import multiprocessing.process
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna  # noqa: F401  # searches and reports import it and the next, here once for all

import headbench.results.report  # noqa: F401
from headbench.runners.commands import main
from headbench.runners.execution import workers
from tests.blank import draw_blanks


class Forked:
    """A function in a process and a session of its own; it has of ``subprocess.Popen`` what the tests need.

    Args:
        act: the function, known to pickle.
        given: its arguments.
        more: environment variables beside those of this process.
    """

    def __init__(self, act: Callable[..., object], *given: Any, more: dict[str, str] | None = None) -> None:
        self._printed = tempfile.NamedTemporaryFile()  # noqa: SIM115  # goes with this object
        workers.CONTEXT.set_forkserver_preload([*workers.PRELOAD, __name__])
        words = (act, given, os.environ | {"OMP_NUM_THREADS": "1"} | (more or {}), Path.cwd(), Path(self._printed.name))
        self._process = workers.CONTEXT.Process(target=_run, args=words)
        self._process.start()
        self.pid: int = self._process.pid  # type: ignore[assignment]  # it is started

    @property
    def returncode(self) -> int | None:
        """The exit status, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        os.kill(self.pid, number)

    def communicate(self, timeout: float = 400) -> str:
        """Wait for the end and return what was printed.

        Raises:
            subprocess.TimeoutExpired: if that takes longer than so many seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        return self._printed.read().decode()


def launched(words: list[str], more: dict[str, str] | None = None, *, blank: bool = False) -> Forked:
    """Start ``bench.py`` with these words; a report of it may have blank pictures."""
    return Forked(_bench, words, blank, more=more)


def _run(
    act: Callable[..., object], given: tuple[Any, ...], environment: dict[str, str], folder: Path, printed: Path
) -> None:
    os.setsid()
    # Where the suite itself was started in the background, SIGINT is ignored, and children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with printed.open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # What a user starts is nobody's worker.
    multiprocessing.process._parent_process = None  # type: ignore[attr-defined]
    act(*given)


def _bench(words: list[str], blank: bool) -> None:
    if blank:
        draw_blanks(setattr)
    sys.argv = ["bench.py", *words]
    sys.exit(main.entry())
