"""The page of a report: the answer first, then a section per question with its tables and figures."""

import base64
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from headbench.core import escape
from headbench.results import columns
from headbench.results.columns import Column
from headbench.results.comparison import Part, Picture
from headbench.results.derived import with_texts
from headbench.results.tables import render as printing
from headbench.results.tables import trust
from headbench.results.tables.base import SELECTIONS, Table

TEMPLATE = Path(__file__).parent / "page.html.j2"
# What the page says of every cell, before and after its axes.
FIRST = "cell_id status health".split()
COST = "image_views train_flops train_seconds images_per_second"
MEASURED = f"top1 {COST} started_at git_commit device threads precision".split()
# The sections in their order: title, and the kinds of tables and figures that belong there, as their names tell.
SECTIONS = {
    "Accuracy": "accuracy imbalance",
    "Differences": "pairs ranks",
    "Calibration": "calibration ece reliability",
    "Beside the published numbers": "published",
    "Claims": "claims",
    "Long tails": "groups",
    "Classes": "classes",
    "Geometry and assignment": "collapse assignment",
    "Compute": "recipes compute",
}
REST = "More"
# What a figure of a kind shows, for those who cannot see it.
ALTERNATIVES = {
    "accuracy": "Top-1 test accuracy against the feature dimension, a line per head",
    "imbalance": "Top-1 test accuracy and ECE against the imbalance factor, a line per head",
    "ranks": "Critical-difference diagram of average ranks",
    "ece": "Debiased ECE in three views against the feature dimension, a line per head",
    "reliability": "Reliability diagram: accuracy against confidence",
    "collapse": "Cosines of the class means of one head",
    "assignment": "How many classes change their prototype by epoch",
    "compute": "Top-1 test accuracy against the compute of training, with the Pareto front",
}
FULL, TALL = ("ece", "imbalance"), "reliability-"
# Of a table in the part of a search, rows above which it is folded.
LONG = 30
# Comparisons whose answers are unfolded, with their figures.
MOST = 4


@dataclass(frozen=True)
class Answer:
    """The sentences that answer a comparison.

    Attributes:
        name: of the comparison.
        description: of it.
        sentences: the answer.
    """

    name: str
    description: str
    sentences: list[str]


@dataclass(frozen=True)
class Shown:
    """What a page shows.

    Attributes:
        rows: of the grid.
        unfinished: cells that are not yet trained.
        answers: one per comparison.
        final: tables, figures and lines of the finished cells.
        search: those of the hyperparameter search.
    """

    rows: pd.DataFrame
    unfinished: int
    answers: list[Answer]
    final: Part
    search: Part


def render(grid: str, shown: Shown, comparisons: list[str]) -> str:
    """Return the page; the template escapes what is no fragment of HTML.

    Args:
        grid: its name.
        shown: what it shows.
        comparisons: their names, which begin those of their tables and figures.
    """
    rows = with_texts(shown.rows, escape.plain)
    axes = [axis for axis in columns.AXES if not axis.quiet or rows[axis.name].nunique() > 1]
    listed = [*(columns.NAMED[name] for name in FIRST), *axes, *(columns.NAMED[name] for name in MEASURED)]
    prefixes = sorted({*comparisons, *shown.rows["dataset"]}, key=len, reverse=True)
    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    made, pictures, lines = shown.final
    above = {f"{answer.name}-accuracy" for answer in shown.answers[:MOST]}
    page: str = template.render(
        grid=escape.plain(grid),
        answers=[
            _plain(answer, {name: forms for name, forms in pictures.items() if name in above})
            for answer in shown.answers
        ],
        most=MOST,
        trust=[escape.plain(line) for line in trust.lines(shown.rows)],
        rows=rows,
        columns=listed,
        cells=[
            {column.name: _listed(column, row) for column in listed}
            for row in rows[(rows["selection"] == "last") | (rows["status"] == "failed")].to_dict("records")
        ],
        unfinished=shown.unfinished,
        sections=_sections(made, {name: forms for name, forms in pictures.items() if name not in above}, prefixes),
        lines=[escape.plain(line) for line in lines],
        search=_of_search(shown.search),
    )
    return page


def kind_of(name: str, prefixes: Iterable[str]) -> str:
    """Return the kind of a table or figure, the word behind the name of its comparison or data set: ``accuracy``.

    Args:
        name: of the table or figure.
        prefixes: names of comparisons and data sets, the longest first.
    """
    rest = next((name.removeprefix(f"{own}-") for own in prefixes if name.startswith(f"{own}-")), name)
    found = re.match(r"[a-z]+", rest)
    return found[0] if found else ""


def _sections(made: list[Table], pictures: dict[str, Picture], prefixes: list[str]) -> list[dict[str, Any]]:
    """Return the sections that have something to show: title, anchor, tables and figures."""
    titles = {kind: title for title, kinds in SECTIONS.items() for kind in kinds.split()}
    secondary = tuple(f"-{name}" for name in SELECTIONS if name != "last")
    found: dict[str, dict[str, Any]] = {
        title: {"title": title, "anchor": title.lower().replace(" ", "-"), "tables": [], "figures": []}
        for title in (*SECTIONS, REST)
    }
    for table in made:
        own = found[titles.get(kind_of(table.name, prefixes), REST)]
        own["tables"].append(_table(table, folded=table.name.endswith(secondary)))
    for name, forms in pictures.items():
        kind = kind_of(name, prefixes)
        found[titles.get(kind, REST)]["figures"].append(_figure(name, forms, kind))
    return [section for section in found.values() if section["tables"] or section["figures"]]


def _plain(answer: Answer, pictures: dict[str, Picture]) -> dict[str, Any]:
    """Return an answer as the template takes it, with the figure of its accuracy where that is among these."""
    forms = pictures.get(f"{answer.name}-accuracy")
    return {
        "description": escape.plain(answer.description),
        "sentences": [escape.plain(sentence) for sentence in answer.sentences],
        "figure": None if forms is None else _figure(f"{answer.name}-accuracy", forms, "accuracy"),
    }


def _table(table: Table, *, folded: bool) -> dict[str, Any]:
    file = escape.file_name(table.name)
    return {
        "caption": escape.plain(table.caption),
        "html": Markup(printing.html(table)),
        "folded": folded,
        "files": {form: f"tables/{file}.{form}" for form in ("csv", "tex", "md")},
    }


def _figure(name: str, forms: Picture, kind: str, wide: str = "wide") -> dict[str, Any]:
    """Return a figure as the template takes it, in the smaller of its forms."""
    form, content = min(forms.items(), key=lambda file: len(file[1]))
    file = escape.file_name(name)
    full = kind in FULL or name.endswith("-reliability")
    media = {"svg": "svg+xml"}.get(form, form)
    return {
        "source": Markup(f"data:image/{media};base64,{base64.b64encode(content).decode()}"),
        "alt": escape.plain(f"{ALTERNATIVES.get(kind, 'Figure')} ({name})"),
        "size": "tall" if TALL in name else "full" if full else wide,
        "files": {form: f"figures/{file}.{form}" for form in forms},
    }


def _of_search(search: Part) -> dict[str, Any]:
    """Return what the template takes of a search."""
    made, pictures, lines = search
    return {
        "tables": [_table(table, folded=len(table.cells) > LONG) for table in made],
        "figures": [_figure(name, forms, "", "half") for name, forms in pictures.items()],
        "lines": [escape.plain(line) for line in lines],
    }


def _listed(column: Column, row: dict[Hashable, Any]) -> str:
    """Return what the list of cells says of a cell; of one that failed only what was planned."""
    value = row[column.name]
    known = column.role in {"bookkeeping", "comparison", "axis"} or row["status"] == "done"
    return column.shown(value) if known and not pd.isna(value) else "-"
