"""What only finished cells have: the tables and figures of one comparison."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from matplotlib.figure import Figure

from headbench.results import compared, tables
from headbench.results.answers import Answers
from headbench.results.compared import Comparison
from headbench.results.derived import tried
from headbench.results.differences import not_separated
from headbench.results.figures import assignment, base, class_cosines, reliability
from headbench.results.figures import lines as line_figures
from headbench.results.tables.base import Table

T = TypeVar("T")
# A figure as the content of its files, by suffix.
Picture = dict[str, bytes]
# Tables, figures by name, and lines that say what could not be made.
Part = tuple[list[Table], dict[str, Picture], list[str]]


def show(part: pd.DataFrame, out: Path, description: str, name: str) -> Part:
    """Return tables and figures of one comparison, and a line for each file that is damaged or part that cannot be
    made.
    """
    if not (part["selection"] == "last").any():
        return [], {}, []
    drawn, lines = dict[str, Picture](), list[str]()

    def read(what: str, source: Callable[[Any, Path], tuple[T, list[str]]], otherwise: T) -> T:
        """Return what a source finds in the cells' files, and keep its lines."""
        found, damaged = tried(f"{name}, {what}", lambda: source(part, out), lines) or (otherwise, [])
        lines.extend(damaged)
        return found

    def draw(what: str, figures_of: Callable[[], dict[str, Figure]]) -> None:
        """Draw figures under the comparison's name, or keep a line that says why not."""
        drawn.update(
            tried(
                f"{name}, {what}",
                lambda: {f"{name}-{title}": files_of(figure) for title, figure in figures_of().items()},
                lines,
            )
            or {}
        )

    pooled = read("reliability", reliability.pool, dict[str, reliability.Pooled]())
    shapes = read("geometry", class_cosines.of, dict[str, Figure]())
    history = read("histories", assignment.histories, pd.DataFrame())
    answers = Answers(out)
    comparison = Comparison(part, answers, out, description, name)
    tabled = [
        tried(f"{name}, {title}", partial(make, comparison), lines) for title, make in compared.makers(tables).items()
    ]
    draw(
        "accuracy",
        lambda: {
            "accuracy": line_figures.accuracy(
                part, description, not_separated(part[part["selection"] == "last"], answers)
            )
        },
    )
    draw(
        "ece",
        lambda: (
            {"ece": line_figures.calibration_errors(part, description)}
            if part[list(line_figures.ECES)].notna().any(axis=None)
            else {}
        ),
    )
    draw(
        "reliability",
        lambda: {"reliability": reliability.side_by_side(pooled, part, description)} if len(pooled) > 1 else {},
    )
    draw(
        "reliability",
        lambda: {f"reliability-{head}": figure for head, figure in reliability.diagrams(pooled, part).items()},
    )
    draw("collapse", lambda: {f"collapse-{head}": figure for head, figure in shapes.items()})
    moves = tried(f"{name}, assignment", lambda: assignment.assignment(history, description), lines)
    draw("assignment", lambda: {} if moves is None else {"assignment": moves})
    return [table for table in tabled if isinstance(table, Table)], drawn, lines


def files_of(figure: Figure) -> Picture:
    """Return the content of a figure's files."""
    return {form: base.encode(figure, form) for form in ("png", "svg")}
