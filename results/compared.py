"""One comparison of heads, and the files that make a table of every comparison."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pandas as pd

from headbench.results.answers import Answers

# Of a table that says nothing of its place on the page: behind all others, in the order of the files' names.
LAST = 100


@dataclass(frozen=True)
class Comparison:
    """Rows that differ in head, dimension and seed alone.

    Attributes:
        rows: with cells of the selection ``last``.
        answers: which test images the cells get right.
        out: folder of the runs.
        description: of the comparison, for captions.
        name: of the comparison, for files.
    """

    rows: pd.DataFrame
    answers: Answers
    out: Path
    description: str
    name: str


def makers(package: ModuleType) -> dict[str, Callable[[Comparison], object]]:
    """Return the function ``compared`` of each file of a folder that has one, by the file's name, in the order of their
    ``PLACE``.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    modules = {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}
    shown = [name for name, module in modules.items() if hasattr(module, "compared")]
    shown.sort(key=lambda name: getattr(modules[name], "PLACE", LAST))
    return {name: modules[name].compared for name in shown}
