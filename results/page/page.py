"""The page of a report: the answer first, then a section per question with its tables and figures."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from headbench.core import escape
from headbench.results import columns
from headbench.results.columns import Column
from headbench.results.comparison import Part
from headbench.results.derived import with_texts
from headbench.results.figures.base import Picture
from headbench.results.page import common, facets, templates
from headbench.results.page.sections import Layout
from headbench.results.tables import trust
from headbench.results.tables.base import Comparisons, over

# What the page says of every cell, before and after its axes.
FIRST = "cell_id status health".split()
COST = "image_views train_flops train_seconds images_per_second"
MEASURED = f"top1 {COST} started_at git_commit device threads precision".split()
# The columns that stay, though all cells agree in them.
NAMING = "cell_id head_label feature_dim seed top1".split()
# Spaces of a sentence at which no line ends: before a percent sign, and around that of d = 3.
UNBROKEN = re.compile(r"(?<=\d) (?=%)|(?<=\bd) (?==)|(?<=\bd =) (?=\d)")
# Of a table in the part of a search, rows above which it is folded.
LONG = 30
# More cells than this are folded.
MANY = 200
# Comparisons whose answers are unfolded, with their figures.
MOST = 4


@dataclass(frozen=True)
class Shown:
    """What a page shows.

    Attributes:
        rows: of the grid.
        unfinished: cells that are not yet trained.
        answers: sentences by comparison.
        final: tables, figures and lines of the finished cells.
        search: those of the hyperparameter search.
        commands: that made the page.
    """

    rows: pd.DataFrame
    unfinished: int
    answers: dict[str, list[str]]
    final: Part
    search: Part
    commands: list[str]


def render(grid: str, shown: Shown, comparisons: Comparisons) -> str:
    """Return the page; the templates escape what is no fragment of HTML.

    Args:
        grid: its name.
        shown: what it shows.
        comparisons: description and rows by name, which begins the names of tables and figures.
    """
    rows = with_texts(shown.rows, escape.plain)
    cells, listed, alike = _cells(rows)
    made, pictures, lines = shown.final
    signs = common.legend(table.caption for table in made)
    seeds = common.seeds_of(rows[rows["status"] == "done"])
    layout = Layout(comparisons, [*signs, common.USUAL, f", {over(seeds)}"])
    called = {layout.titles[name] or name: part for name, (_, part) in comparisons.items()}
    above = {name: pictures[name] for own in [*shown.answers][:MOST] if (name := f"{own}-accuracy") in pictures}
    template = templates.environment().get_template("page.html.j2")
    page: str = template.render(
        grid=escape.plain(grid),
        answers=[_plain(*answer, above, layout) for answer in shown.answers.items()],
        most=MOST,
        many=MANY,
        shared=escape.plain(common.facts(comparisons)[0]),
        signs=signs,
        seeds=seeds,
        trust=[escape.plain(line) for line in trust.lines(shown.rows, called)],
        facets=facets.facets(shown.rows),
        rows=rows,
        columns=listed,
        cells=cells,
        alike=alike,
        unfinished=shown.unfinished,
        sections=layout.sections(made, {name: own for name, own in pictures.items() if name not in above}),
        lines=[escape.plain(line) for line in lines],
        search=_of_search(shown.search, layout),
        commands=shown.commands,
    )
    return page


def _plain(of: str, sentences: list[str], pictures: dict[str, Picture], layout: Layout) -> dict[str, Any]:
    """Return an answer as the template takes it, with the figure of its accuracy where that is among these."""
    name = f"{of}-accuracy"
    return {
        "title": escape.plain(layout.titles[of]),
        "of": layout.of(of),
        "sentences": [UNBROKEN.sub("\u00a0", escape.plain(sentence)) for sentence in sentences],
        "figure": layout.figure(name, pictures[name]) if name in pictures else None,
    }


def _of_search(search: Part, layout: Layout) -> dict[str, Any]:
    """Return what the template takes of a search."""
    made, pictures, lines = search
    return {
        "tables": [layout.table(table, folded=len(table.cells) > LONG) for table in made],
        "figures": [layout.figure(name, picture) for name, picture in pictures.items()],
        "lines": [escape.plain(line) for line in lines],
    }


def _cells(rows: pd.DataFrame) -> tuple[list[dict[str, str]], list[Column], list[str]]:
    """Return the list of cells: their texts by column, the columns, and what is the same in all of them."""
    axes = [axis for axis in columns.AXES if not axis.quiet or rows[axis.name].nunique() > 1]
    known = [*(columns.NAMED[name] for name in FIRST), *axes, *(columns.NAMED[name] for name in MEASURED)]
    cells = [
        {column.name: _listed(column, row) for column in known}
        for row in rows[(rows["selection"] == "last") | (rows["status"] == "failed")].to_dict("records")
    ]
    values = {column.name: {cell[column.name] for cell in cells} for column in known}
    apart = [column for column in known if column.name in NAMING or len(values[column.name]) > 1]
    alike = [f"{column.heading} {values[column.name].pop()}" for column in known if column not in apart and cells]
    return cells, apart, [text for text in alike if not text.endswith(" -")]


def _listed(column: Column, row: dict[Hashable, Any]) -> str:
    """Return what the list of cells says of a cell; of one that failed only what was planned."""
    value = row[column.name]
    known = column.role in {"bookkeeping", "comparison", "axis"} or row["status"] == "done"
    return column.shown(value) if known and not pd.isna(value) else "-"
