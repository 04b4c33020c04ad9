"""What a running grid shows: a live display on a terminal, plain lines elsewhere."""

import math
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from headbench.core import escape
from headbench.core.errors import is_full
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Outcome
from headbench.runners.training.history import Glimpse

# Where the output is no terminal: between two lines about epochs, so that a log of short cells has one line a cell, and
# until a line about an epoch that still runs.
QUIET_SECONDS, LONG_SECONDS = 10.0, 60.0
# Part of a cell after which its pace says something of the time left.
LEAST = 0.01


@dataclass
class _Running:
    """A cell that is trained.

    Attributes:
        part: of its epochs that is over.
        text: where it stands.
        accuracy: after its newest epoch, on validation.
        seen: the newest glimpse of its epoch.
    """

    part: float = 0.0
    text: str = "starting"
    accuracy: str = ""
    seen: Glimpse | None = None


class Display:
    """Cells done, running and failed, the epochs that run with their loss and images/s, and the time left.

    An ``Events`` of the schedule.

    Args:
        console: where to write.
        cells: number of cells to train now.
        done: number that were finished before.
    """

    def __init__(self, console: Console, cells: int, done: int) -> None:
        self.console, self.cells, self.before = console, cells, done
        self.ended: dict[str, Outcome] = {}
        self.running: dict[str, tuple[Planned, _Running]] = {}
        self.start = self.last_line = time.monotonic()
        # Cells, as parts of one, that were trained before this run: they say nothing of its pace.
        self.resumed = 0.0
        self.status = Text("")
        self.progress = Progress(
            TextColumn("{task.fields[what]}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=console,
        )
        self.task = self.progress.add_task("", total=cells, what="cells")
        self.steps = self.progress.add_task("", total=None, visible=False, what="steps")
        self.live = (
            Live(Group(self.progress, self.status), console=console, refresh_per_second=4)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> "Display":
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def started(self, planned: Planned) -> None:
        """Show the cell that begins."""
        self.running[planned.cell_id] = planned, _Running()
        self._show()

    def glimpse(self, planned: Planned, seen: Glimpse) -> None:
        """Show how an epoch goes on; say where a cell has gone on from its checkpoint."""
        epochs, running = planned.facts["epochs"], self._of(planned)
        if running.seen is None and seen.epoch > 1:
            self.resumed += (seen.epoch - 1) / epochs
            self._line(f"  {_name(planned)}: resumed at epoch {seen.epoch}/{epochs}")
        within = seen.step / seen.steps
        running.seen, running.part = seen, (seen.epoch - 1 + within) / epochs
        running.text = f"epoch {seen.epoch}/{epochs}"
        if seen.loss is not None:
            running.text += f" {100 * within:.0f} %, loss {seen.loss:.4f}, {seen.speed:.0f} images/s"
        running.text += f" ({running.accuracy} before)" if running.accuracy else ""
        self._show()
        self._report(planned, LONG_SECONDS)

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        """Show a finished epoch."""
        epochs, running = planned.facts["epochs"], self._of(planned)
        accuracy = "" if math.isnan(row.get("val_top1", math.nan)) else f"val {100 * row['val_top1']:.1f} %"
        told = [f"epoch {row['epoch']}/{epochs}", f"loss {row['train_loss']:.4f}", *([accuracy] if accuracy else [])]
        running.part, running.accuracy = row["epoch"] / epochs, accuracy
        running.text = ", ".join([*told, f"{row['images'] / row['seconds']:.0f} images/s"])
        self._show()
        self._report(planned, QUIET_SECONDS)

    def finished(self, planned: Planned, result: dict[str, Any]) -> None:
        """Count and show a finished cell, once."""
        last, marks = result["selections"].get("last"), (result.get("health") or {}).get("marks")
        part, name = ("validation", "val_top1") if last and "top1" not in last else ("test", "top1")
        accuracy = "no last epoch" if last is None else f"{100 * last[name]:.2f} % on {part}"
        accuracy += f" ({'; '.join(marks)})" if marks else ""
        self._end(
            planned,
            f"{accuracy}, {result['train_seconds']:.1f} s, {result['images_per_second']:.0f} images/s",
            Outcome.DONE,
        )

    def failed(self, planned: Planned, message: str) -> None:
        """Count and show a failed cell, once."""
        self._end(planned, f"failed: {message}", Outcome.FAILED)

    def pruned(self, planned: Planned, message: str) -> None:
        """Count and show a pruned cell, once."""
        self._end(planned, f"pruned: {message}", Outcome.PRUNED)

    def stopped(self, planned: Planned, message: str) -> None:
        """Say that a cell will be trained again."""
        self.running.pop(planned.cell_id, None)
        self._line(f"  {_name(planned)}: {message}")

    def _end(self, planned: Planned, text: str, outcome: Outcome) -> None:
        self.running.pop(planned.cell_id, None)
        if planned.cell_id not in self.ended:
            self.ended[planned.cell_id] = outcome
            self._line(f"[{len(self.ended)}/{self.cells}] {_name(planned)}: {text}, {self._left()}")

    def _of(self, planned: Planned) -> _Running:
        """Return how far a cell is; another process may have lost it since this one took it."""
        return self.running.setdefault(planned.cell_id, (planned, _Running()))[1]

    def _left(self) -> str:
        """Estimate the time left from the cells of this run so far, the running ones by their epochs."""
        ended = len(self.ended) + sum(running.part for _, running in self.running.values())
        trained = ended - self.resumed
        if trained < LEAST:
            return "time left unknown"
        seconds = int((time.monotonic() - self.start) / trained * max(self.cells - ended, 0))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"

    def _show(self) -> None:
        cells = list(self.running.values())
        lines = (f"{_name(planned)}: {running.text}" for planned, running in cells)
        self.status.plain = "\n".join(map(escape.plain, lines))
        self._show_steps(cells[0][1].seen if len(cells) == 1 else None)
        counts = Counter(self.ended.values())
        told = [f"{self.before + counts[Outcome.DONE]} done, {len(cells)} running, {counts[Outcome.FAILED]} failed"]
        told += [f"{counts[Outcome.PRUNED]} pruned"] if counts[Outcome.PRUNED] else []
        self.progress.update(self.task, completed=len(self.ended), description=f"{', '.join(told)}; {self._left()}")

    def _show_steps(self, seen: Glimpse | None) -> None:
        """Show the steps of the one epoch that runs, or none where several do."""
        if seen is None:
            self.progress.update(self.steps, visible=False)
        else:
            self.progress.update(self.steps, visible=True, completed=seen.step, total=seen.steps)

    def _report(self, planned: Planned, seconds: float) -> None:
        """Print where a cell stands, where nothing else shows it and the last line is so many seconds old."""
        if not self.live and time.monotonic() - self.last_line > seconds:
            self._line(f"  {_name(planned)}: {self._of(planned).text}, {self._left()}")

    def _line(self, text: str) -> None:
        self.last_line = time.monotonic()
        try:
            self.console.print(escape.terminal(text), soft_wrap=True)
        except OSError as error:
            if is_full(error):
                raise
            # The terminal has gone, which is no fault of the cell's.
            self.console.quiet = True
        self._show()


def _name(planned: Planned) -> str:
    cell = planned.cell
    imbalance = f" IF={cell.imbalance_factor:g}" if cell.imbalance_factor > 1 else ""
    return f"{cell.dataset_label}{imbalance} {cell.head_label} d={cell.feature_dim} seed={cell.seed}"
