"""What the commands print."""

import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.table import Table

from headbench.core import escape
from headbench.runners.execution import stops


class Screen(Console):
    """A console for which a closed pipe (``bench.py list heads | head -1``) is a wish to stop, not an error."""

    def on_broken_pipe(self) -> None:
        """Stop as at Ctrl-C: a cell in training keeps its checkpoint."""
        with suppress(SystemExit):
            super().on_broken_pipe()
        stops.ignore()
        raise stops.Stopped(signal.SIGPIPE)


def say(console: Console, text: str) -> None:
    """Print a line that may hold text of others."""
    console.print(escape.terminal(text), soft_wrap=True)


def say_json(console: Console, content: dict[str, Any]) -> None:
    """Print an object for scripts."""
    console.out(json.dumps(content, indent=2, allow_nan=False), highlight=False)


def tabled(rows: list[dict[str, str]]) -> Table:
    """Return rows of texts by title as a table for the terminal."""
    table = Table(*rows[0])
    table.columns[0].no_wrap = True  # a name that is cut names nothing
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*map(escape.terminal, row.values()))
    return table


def show_rows(titles: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print rows that are too many for a table that is drawn, in aligned columns, the last one as it comes."""
    table = [list(titles), *([escape.plain(text) for text in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:-1]
    for row in table:
        aligned = "  ".join(text.ljust(width) for text, width in zip(row[:-1], widths, strict=True))
        console.out(f"{aligned}  {row[-1]}", highlight=False)
