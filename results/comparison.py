"""What only finished cells have: the tables and figures of one comparison."""

from collections.abc import Iterable
from functools import partial

import pandas as pd

from headbench.results import compared, figures, tables
from headbench.results.answers import Answers
from headbench.results.compared import Comparison
from headbench.results.derived import tried
from headbench.results.figures.base import Picture, picture
from headbench.results.tables.base import Table

# Tables, figures by name, and lines that say what could not be made.
Part = tuple[list[Table], dict[str, Picture], list[str]]


def joined(parts: Iterable[Part]) -> Part:
    """Return several parts as one, in their order."""
    made, drawn, lines = list[Table](), dict[str, Picture](), list[str]()
    for tables_of, pictures, why in parts:
        made, drawn, lines = [*made, *tables_of], drawn | pictures, [*lines, *why]
    return made, drawn, lines


def show(part: pd.DataFrame, answers: Answers, description: str, name: str) -> Part:
    """Return tables and figures of one comparison, and a line for each file that is damaged or part that cannot be
    made.

    Args:
        part: rows of the comparison.
        answers: of its cells, with the folder of the runs.
        description: of the comparison.
        name: of it, for files.
    """
    if not (part["selection"] == "last").any():
        return [], {}, []
    drawn, lines = dict[str, Picture](), list[str]()
    comparison = Comparison(part, answers, answers.out, description, name, lines)
    tabled = [
        tried(f"{name}, {title}", partial(make, comparison), lines) for title, make in compared.makers(tables).items()
    ]
    for title, make in compared.makers(figures).items():
        drawn |= tried(f"{name}, {title}", partial(_pictures, make, comparison), lines) or {}
    return [table for table in tabled if isinstance(table, Table)], drawn, lines


def _pictures(make: compared.Maker, comparison: Comparison) -> dict[str, Picture]:
    """Return the pictures of one file by their names."""
    return {f"{comparison.name}-{kind}": picture(drawn) for kind, drawn in make(comparison).items()}
