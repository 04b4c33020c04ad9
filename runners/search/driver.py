"""The driver of a search: it asks the studies for trials, hands their cells to whatever trains the cells of a grid, and
tells the studies how they go on.

A trial is one cell. Which process trains it, and whether that one is alive, is known by the cell's lock, and how it
ended by the cell's files. So any number of drivers may share a search, and one that was killed loses nothing.
"""

import csv
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import Trial, TrialState

from headbench.core.errors import PrunedError, StoppedError, UserError, typed_reason
from headbench.results import store
from headbench.runners.execution import locks, plan, queue
from headbench.runners.execution.executors import Executor
from headbench.runners.execution.plan import Outlines, Planned
from headbench.runners.execution.progress import Display
from headbench.runners.search import found, space, studies
from headbench.runners.search.studies import Ending, Study
from headbench.runners.training import history
from headbench.runners.training.history import Glimpse


class _Halt(KeyboardInterrupt):
    """The driver stops, as Ctrl-C would stop it: running cells are kept as checkpoints, and their trials go on later.

    Its argument says why, or is None where the time is up.
    """


@dataclass
class Driver:
    """Drives the studies of a grid to their number of trials.

    An ``Events`` of the executor.

    Attributes:
        search: of the grid.
        studies: of it, to be driven.
        outlines: of the grid's data.
        workers: processes that train cells.
        display: shows what happens.
        deadline: by the monotonic clock, after which nothing more is trained.
        check: raises UserError for identities of cells whose finished ones cannot stand beside this driver's.
        retry_failed: train cells again that failed before.
    """

    search: found.GridSearch
    studies: list[Study]
    outlines: Outlines
    workers: int
    display: Display
    deadline: float = math.inf
    check: Callable[[Iterable[str]], None] = lambda cells: None
    retry_failed: bool = False
    _trials: dict[str, list[tuple[Study, Trial]]] = field(default_factory=dict)
    _tried: set[str] = field(default_factory=set)
    _watch: locks.Watch = field(default_factory=locks.Watch)

    def run(self, executor: Executor) -> bool:
        """Train until every study has its trials; return False where the time was up before.

        Raises:
            StoppedError: if the storage is lost.
        """
        try:
            while True:
                self._check_time()
                cells, others = self._round()
                if cells:
                    executor.run(cells, self)
                elif others:
                    self._wait(others)
                else:
                    break
        except _Halt as halt:
            if halt.args[0] is not None:
                raise StoppedError(halt.args[0]) from None
            return False
        return True

    def _round(self) -> tuple[list[Planned], list[Planned]]:
        """Return the cells to train next, a trial of each study, or more where there are more workers than studies; and
        those that other processes train. Trials whose processes have died come first.
        """
        self._trials, cells, others = {}, list[Planned](), list[Planned]()
        each = max(-(-self.workers // max(sum(study.wants > 0 for study in self.studies), 1)), 1)
        with self._told(), self.search.alone():
            for study in self.studies:
                own, left = 0, max(study.asked.trials - study.ended, 0)
                for trial in study.of_state(TrialState.RUNNING)[:left]:
                    planned = self._plan(study, study.again(trial))
                    held = planned is not None and self._watch.is_held(self._folder(planned))
                    if planned is not None:
                        (others if held else cells).append(planned)
                        own += not held
                while own < each and study.wants:
                    planned = self._plan(study, study.ask())
                    if planned is not None:
                        cells.append(planned)
                        own += 1
        chosen = {planned.cell_id: planned for planned in cells}
        self.check(chosen)
        self._forget_endings(chosen)
        return list(chosen.values()), others

    def _wait(self, others: list[Planned]) -> None:
        """Wait, as long as there is time, until another process has ended a trial, or has died over it."""
        pause = queue.PAUSE
        while all(self._watch.is_held(self._folder(planned)) for planned in others):
            self._check_time()
            time.sleep(min(pause, max(self.deadline - time.monotonic(), 0)))
            pause = min(pause * queue.BACK_OFF, queue.LONGEST_PAUSE)

    def _folder(self, planned: Planned) -> Path:
        return store.cell_folder(self.search.out, planned.cell_id)

    def _plan(self, study: Study, trial: Trial) -> Planned | None:
        """Return the cell of a trial, or None where it has none that can be trained: then the trial has failed."""
        try:
            (planned,) = plan.make([space.trial_cell(study.base.cell, trial.params)], self.outlines)
            error = planned.not_applicable
        except space.SpaceError:  # of every trial: no search can go on
            raise
        except UserError as refused:
            planned, error = None, str(refused)
        except Exception as raised:  # a head's own code, of a plugin
            planned, error = None, typed_reason(raised)
        if planned is None or error is not None:
            study.tell(trial, Ending({}, error))
            return None
        if trial.user_attrs.get("cell_id") != planned.cell_id:
            trial.set_user_attr("cell_id", planned.cell_id)
        self._trials.setdefault(planned.cell_id, []).append((study, trial))
        return planned

    def _forget_endings(self, cells: dict[str, Planned]) -> None:
        """Let cells go on that another search has pruned, by its own trials, and where it is asked for those that had
        failed before.
        """
        asked = self.search.asked
        for cell_id in cells.keys() - self._tried:
            folder = self._folder(cells[cell_id])
            ending, why = store.read_ending(folder) or ("", "")
            own = tuple(_of(study) for study, _ in self._trials[cell_id])
            here = asked.prunes and why.startswith(f"{asked.objectives[0]} ") and why.strip().endswith(own)
            elsewhere = ending == "pruned" and not here
            if elsewhere or (ending == "failed" and self.retry_failed):
                store.clear_endings(folder)
        self._tried |= cells.keys()

    def started(self, planned: Planned) -> None:
        """Show that a trial begins, where there is time for it."""
        self._check_time()
        self.display.started(planned)

    def glimpse(self, planned: Planned, seen: Glimpse) -> None:
        """Show how an epoch of a trial goes on, as long as there is time."""
        self.display.glimpse(planned, seen)
        self._check_time()

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        """Tell the studies of an epoch.

        Raises:
            PrunedError: if the trial is not worth going on with.
        """
        self.display.epoch(planned, row)
        self._check_time()
        epochs = planned.facts["epochs"]
        rows = self._history(planned)
        with self._told():
            reasons = [study.report(trial, rows, epochs) for study, trial in self._trials[planned.cell_id]]
        if all(reasons):
            raise PrunedError(f"{reasons[0]}{_of(self._trials[planned.cell_id][0][0])}")

    def finished(self, planned: Planned, result: dict[str, Any]) -> None:
        """Tell the studies what a trial has come to after its last epoch."""
        self.display.finished(planned, result)
        last = result["selections"].get("last")
        error = None if last else "its head cannot be finished on the weights of the last epoch"
        marks = (result.get("health") or {}).get("marks") or []
        self._tell(planned, Ending(last or {}, error, marks=marks))

    def failed(self, planned: Planned, message: str) -> None:
        """Tell the studies that a trial has failed."""
        self.display.failed(planned, message)
        self._tell(planned, Ending({}, message))

    def pruned(self, planned: Planned, message: str) -> None:
        """Tell the studies that a trial was pruned."""
        self.display.pruned(planned, message)
        self._tell(planned, Ending({}, message, pruned=True))

    def stopped(self, planned: Planned, message: str) -> None:
        """Show that a trial is tried once more."""
        self.display.stopped(planned, message)

    def _tell(self, planned: Planned, ending: Ending) -> None:
        """Tell the studies of all epochs of a cell and how it has ended; then write what was found."""
        rows = self._history(planned)
        with self._told():
            told = [study.tell(trial, ending, rows) for study, trial in self._trials[planned.cell_id]]
        if any(told):
            with self._halting():
                self.search.write()

    def _history(self, planned: Planned) -> list[dict[str, float]]:
        """Return the numbers of each finished epoch of a cell, those that a killed driver has not told among them."""
        path = self._folder(planned) / history.NAME
        if not path.is_file():
            return []
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        names = ("epoch", "seconds", *self.search.asked.objectives)
        return [{name: float(row.get(name) or math.nan) for name in names} for row in rows]

    def _check_time(self) -> None:
        if time.monotonic() > self.deadline:
            raise _Halt(None)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Stop the driver, and blame no cell, where the storage fails."""
        with self._halting(), studies.told():
            yield

    @contextmanager
    def _halting(self) -> Iterator[None]:
        try:
            yield
        except StoppedError as error:
            raise _Halt(str(error)) from error


def _of(study: Study) -> str:
    """Return the end of the reason for which a cell is pruned, which says by whose trials."""
    return f" of study '{study.name}'"
