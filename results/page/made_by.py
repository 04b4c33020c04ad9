"""The commands that made a page, to copy."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headbench.core import escape
from headbench.core.version import in_checkout

# Where results are when nothing else is said.
USUAL = Path("runs")


def commands(out: Path, grid: str, asked: Iterable[Sequence[str]], chosen: Mapping[str, Any]) -> list[str]:
    """Return the commands that trained a grid, as far as they are known, and the one that makes its page again.

    Args:
        out: folder of the runs, as it was given.
        grid: the grid's name.
        asked: the words of each command that trained cells of it.
        chosen: options of the page and their values, None for one that was not given.
    """
    program = ["python", "bench.py"] if in_checkout() else ["headbench"]
    where = [] if out == USUAL else ["--out", str(out)]
    given = [word for option, value in chosen.items() if value is not None for word in (option, f"{value:g}")]
    again = ["report", "--grid", grid, *where, *given]
    return [escape.plain(shlex.join([*program, *words])) for words in [*([*own, *where] for own in asked), again]]
