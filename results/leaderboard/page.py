"""The page of the leaderboard: self-contained, and the same bytes for the same rows."""

import re
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from headbench.core import escape
from headbench.core.errors import UserError
from headbench.results import columns, store
from headbench.results.leaderboard.board import Board, boards
from headbench.results.page import facets, templates
from headbench.results.tables import render

FILE = "index.html"
# What tells such a page from others.
MARK = b"<title>Leaderboard: headbench</title>"
# The end tags that HTML leaves out of tables, and what a script of the page puts there: a third of it.
OPTIONAL = re.compile('</(?:td|th|tr)>| data-title="[^"]*"')


def write(measured: Path, folder: Path) -> Path:
    """Write the page of all recorded rows; return its file.

    Args:
        measured: the folder of recorded rows.
        folder: of the page.

    Raises:
        UserError: if another page is there.
    """
    file = folder / FILE
    if file.exists() and MARK not in file.read_bytes():
        raise UserError(f"leaderboard: {file} is there already, and is no leaderboard; give another --to")
    store.write_text(file, page(boards(measured)))
    return file


def page(shown: list[Board]) -> str:
    """Return the page; the template escapes what is no fragment of HTML."""
    rows = pd.concat([board.rows for board in shown], ignore_index=True)
    filtered = [facet for facet in facets.facets(rows) if facet.name != "seed"]
    tables = [
        {
            "anchor": f"board-{number}",
            "of": {name: facets.printed(name, board.rows[name].iloc[0]) for name in ("dataset", "imbalance_factor")},
            "title": escape.plain(_heading(board, shown)),
            "description": escape.plain(board.description),
            "file": escape.plain(board.grid),
            "html": Markup(OPTIONAL.sub("", render.html(board.table))),
            "cells": board.rows["cell_id"].nunique(),
            "commands": [escape.plain(command) for command in board.commands],
            "facts": escape.plain(board.facts),
            "published": [escape.plain(line) for line in board.published],
        }
        for number, board in enumerate(shown, start=1)
    ]
    made: str = (
        templates.environment(Path(__file__).parent)
        .get_template("leaderboard.html.j2")
        .render(
            tables=tables,
            facets=filtered,
            cells=rows["cell_id"].nunique(),
            grids=rows["grid"].nunique(),
            judged=sum(board.judged for board in shown),
        )
    )
    return made


def _heading(board: Board, shown: list[Board]) -> str:
    """Return what tells a table from the others: data set and grid, and what else differs where a grid has several."""
    firsts = [own.rows.iloc[0] for own in shown if (own.title, own.grid) == (board.title, board.grid)]
    apart = [name for name in columns.COMPARISON if len({str(first[name]) for first in firsts}) > 1]
    own = board.rows.iloc[0]
    return ", ".join((f"{board.title}: {board.grid}", *(columns.NAMED[name].shown(own[name]) for name in apart)))
