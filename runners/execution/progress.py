"""What a running grid shows: a live display on a terminal, plain lines elsewhere."""

import math
import time
from collections import Counter
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from headbench.core import escape
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.queue import Outcome

# Between two lines about epochs where the output is no terminal, so that a log of short cells has one line a cell.
QUIET_SECONDS = 10.0


class Display:
    """Cells done, running and failed, the current epochs with their accuracy and images/s, and the time left.

    An ``Events`` of the schedule.

    Args:
        console: where to write.
        cells: number of cells to train now.
        done: number that were finished before.
    """

    def __init__(self, console: Console, cells: int, done: int) -> None:
        self.console, self.cells, self.before = console, cells, done
        self.ended: dict[str, Outcome] = {}
        self.running: dict[str, tuple[float, str]] = {}
        self.start = self.last_line = time.monotonic()
        self.status = Text("")
        self.progress = Progress(
            TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), console=console
        )
        self.task = self.progress.add_task("", total=cells)
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
        self.running[planned.cell_id] = (0.0, f"{_name(planned)}: starting")
        self._show()

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        """Show a finished epoch."""
        epochs = planned.facts["epochs"]
        accuracy = "" if math.isnan(row.get("val_top1", math.nan)) else f", val {100 * row['val_top1']:.1f} %"
        speed = f"{row['images'] / row['seconds']:.0f} images/s"
        text = f"{_name(planned)}: epoch {row['epoch']}/{epochs}, loss {row['train_loss']:.4f}{accuracy}, {speed}"
        self.running[planned.cell_id] = (row["epoch"] / epochs, text)
        self._show()
        if not self.live and time.monotonic() - self.last_line > QUIET_SECONDS:
            self._line(f"  {text}, {self._left()}")

    def finished(self, planned: Planned, result: dict[str, Any]) -> None:
        """Count and show a finished cell, once."""
        last, marks = result["selections"].get("last"), (result.get("health") or {}).get("marks")
        part, name = ("validation", "val_top1") if last and "val_top1" in last else ("test", "top1")
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

    def _left(self) -> str:
        """Estimate the time left from the cells of this run so far, the running ones by their epochs."""
        ended = len(self.ended) + sum(part for part, _ in self.running.values())
        if not ended:
            return "time left unknown"
        seconds = int((time.monotonic() - self.start) / ended * max(self.cells - ended, 0))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"

    def _show(self) -> None:
        self.status.plain = "\n".join(escape.plain(text) for _, text in self.running.values())
        counts = Counter(self.ended.values())
        told = [
            f"{self.before + counts[Outcome.DONE]} done, {len(self.running)} running, {counts[Outcome.FAILED]} failed"
        ]
        told += [f"{counts[Outcome.PRUNED]} pruned"] if counts[Outcome.PRUNED] else []
        self.progress.update(self.task, completed=len(self.ended), description=f"{', '.join(told)}; {self._left()}")

    def _line(self, text: str) -> None:
        self.last_line = time.monotonic()
        self.console.print(escape.terminal(text), soft_wrap=True)
        self._show()


def _name(planned: Planned) -> str:
    cell = planned.cell
    imbalance = f" IF={cell.imbalance_factor:g}" if cell.imbalance_factor > 1 else ""
    return f"{cell.dataset_label}{imbalance} {cell.head_label} d={cell.feature_dim} seed={cell.seed}"
