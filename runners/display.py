"""What a running grid shows: a live display on a terminal, plain lines elsewhere."""

import math
import time
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from runners.config import Cell

# Between two lines about epochs where the output is no terminal, so that a log of short cells has one line a cell.
QUIET_SECONDS = 10.0


class Display:
    """Cells done, running and failed, the current epoch with its accuracy and images/s, and the time left.

    Args:
        console: where to write.
        cells: number of cells to train now.
        done: number that were finished before.
    """

    def __init__(self, console: Console, cells: int, done: int) -> None:
        self.console, self.cells, self.before = console, cells, done
        self.trained = self.failures = 0
        self.running = 0.0
        self.start = self.last_line = time.monotonic()
        self.status = Text("")
        self.progress = Progress(TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), console=console)
        self.task = self.progress.add_task("", total=cells)
        self.live = Live(Group(self.progress, self.status), console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> "Display":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def started(self, cell: Cell) -> None:
        """Show the cell that begins."""
        self._show(f"{_name(cell)}: starting")

    def epoch(self, cell: Cell, row: dict[str, Any]) -> None:
        """Show a finished epoch."""
        self.running = row["epoch"] / cell.recipe.epochs
        accuracy = "" if math.isnan(row.get("val_top1", math.nan)) else f", val {100 * row['val_top1']:.1f} %"
        speed = f"{row['images'] / row['seconds']:.0f} images/s"
        text = f"{_name(cell)}: epoch {row['epoch']}/{cell.recipe.epochs}, loss {row['train_loss']:.4f}{accuracy}, {speed}"
        self._show(text)
        if not self.live and time.monotonic() - self.last_line > QUIET_SECONDS:
            self._line(f"  {text}, {self._left()}")

    def finished(self, cell: Cell, result: dict[str, Any]) -> None:
        """Count and show a finished cell."""
        self.trained += 1
        accuracy = f"{100 * result['selections']['last']['top1']:.2f} % on test"
        self._ended(f"{_name(cell)}: {accuracy}, {result['train_seconds']:.1f} s, {result['images_per_second']:.0f} images/s")

    def failed(self, cell: Cell, error: Exception) -> None:
        """Count and show a failed cell."""
        self.failures += 1
        self._ended(f"{_name(cell)}: failed: {type(error).__name__}: {' '.join(str(error).split())}")

    def _ended(self, text: str) -> None:
        self.running = 0.0
        self._line(f"[{self.trained + self.failures}/{self.cells}] {text}, {self._left()}")

    def _left(self) -> str:
        """Estimate the time left from the cells of this run so far, the running one by its epochs."""
        ended = self.trained + self.failures + self.running
        if not ended:
            return "time left unknown"
        seconds = int((time.monotonic() - self.start) / ended * (self.cells - ended))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"

    def _show(self, text: str) -> None:
        self.status.plain = text
        ended = self.trained + self.failures
        counts = f"{self.before + self.trained} done, {int(ended < self.cells)} running, {self.failures} failed; {self._left()}"
        self.progress.update(self.task, completed=ended, description=counts)

    def _line(self, text: str) -> None:
        self.last_line = time.monotonic()
        self.console.print(Text(text), soft_wrap=True)
        self._show(text)


def _name(cell: Cell) -> str:
    imbalance = f" IF={cell.imbalance_factor:g}" if cell.imbalance_factor > 1 else ""
    return f"{cell.dataset_label}{imbalance} {cell.head_label} d={cell.feature_dim} seed={cell.seed}"
