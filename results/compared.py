"""One comparison of heads, and the files that make a table or figures of every comparison."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from headbench.results.answers import Answers

# Of a table or figure that says nothing of its place on the page: behind all others, in the order of the files' names.
LAST = 100


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows that differ in head, dimension and seed alone.

    Attributes:
        rows: with cells of the selection ``last``.
        answers: which test images the cells get right.
        out: folder of the runs.
        description: of the comparison, for captions.
        name: of the comparison, for files.
        lines: that say which stored files are damaged and left out, as they are found.
    """

    rows: pd.DataFrame
    answers: Answers
    out: Path
    description: str
    name: str
    lines: list[str] = field(default_factory=list)

    @property
    def last(self) -> pd.DataFrame:
        """The rows of the last epochs."""
        return self.rows[self.rows["selection"] == "last"]


Maker = Callable[[Comparison], Any]


def makers(package: ModuleType) -> dict[str, Maker]:
    """Return the function ``compared`` of each file of a folder that has one, by the file's name, in the order of their
    ``PLACE``.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    modules = {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}
    shown = [name for name, module in modules.items() if hasattr(module, "compared")]
    shown.sort(key=lambda name: getattr(modules[name], "PLACE", LAST))
    return {name: modules[name].compared for name in shown}
