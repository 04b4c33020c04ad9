"""What a running grid shows: a live display on a terminal, plain lines elsewhere."""

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
        self.start = self.last_line = time.monotonic()
        self.cell: Cell | None = None
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
        self.cell = cell
        self._show(f"{_name(cell)}: starting")

    def epoch(self, row: dict[str, Any]) -> None:
        """Show a finished epoch."""
        assert self.cell is not None
        top1 = row.get("val_top1", float("nan"))
        accuracy = f", val {100 * top1:.1f} %" if top1 == top1 else ""
        speed = f"{row['images'] / row['seconds']:.0f} images/s"
        text = f"{_name(self.cell)}: epoch {row['epoch']}/{self.cell.recipe.epochs}, loss {row['train_loss']:.4f}{accuracy}, {speed}"
        self._show(text)
        if not self.live and time.monotonic() - self.last_line > QUIET_SECONDS:
            self._line(f"  {text}")

    def finished(self, result: dict[str, Any]) -> None:
        """Count and show a finished cell."""
        assert self.cell is not None
        self.trained += 1
        last, seconds = result["selections"]["last"], result["train_seconds"]
        speed = f"{result['images_per_second']:.0f} images/s"
        self._line(f"{self._count()} {_name(self.cell)}: {100 * last['top1']:.2f} % on test, {seconds:.1f} s, {speed}, {self._left()}")

    def failed(self, error: Exception) -> None:
        """Count and show a failed cell."""
        assert self.cell is not None
        self.failures += 1
        self._line(f"{self._count()} {_name(self.cell)}: failed: {type(error).__name__}: {' '.join(str(error).split())}")

    def _count(self) -> str:
        return f"[{self.trained + self.failures}/{self.cells}]"

    def _left(self) -> str:
        ended = self.trained + self.failures
        seconds = (time.monotonic() - self.start) / max(ended, 1) * (self.cells - ended)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d} left" if ended else "time left unknown"

    def _show(self, text: str) -> None:
        self.status.plain = text
        running = 1 if self.trained + self.failures < self.cells else 0
        counts = f"{self.before + self.trained} done, {running} running, {self.failures} failed; {self._left()}"
        self.progress.update(self.task, completed=self.trained + self.failures, description=counts)

    def _line(self, text: str) -> None:
        self.last_line = time.monotonic()
        self.console.print(Text(text), soft_wrap=True)
        self._show(text)


def _name(cell: Cell) -> str:
    return f"{cell.dataset} {cell.head_label} d={cell.feature_dim} seed={cell.seed}"
