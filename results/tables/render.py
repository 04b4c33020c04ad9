"""Tables as text: for a terminal, and in Markdown, CSV and HTML."""

import numpy as np
import rich.box
import rich.table
from tabulate import tabulate

from headbench.core import escape
from headbench.results.derived import as_csv
from headbench.results.tables.base import Table

# A cell with more characters is a sentence.
SENTENCE = 40


# More columns than this do not stand beside each other on a telephone.
NARROW = 6


def terminal(table: Table) -> rich.table.Table:
    """Return the table for a terminal, without its caption, narrow enough for five dimensions in 80 columns.

    Long names of heads wrap, numbers do not.
    """
    shown = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    titles, rows = flat(table)
    for place, title in enumerate(titles):
        name = place < table.cells.index.nlevels
        shown.add_column(
            escape.terminal(title),
            justify="left" if name else "right",
            no_wrap=not name,
            overflow="fold" if name else "ellipsis",
        )
    for row in rows:
        shown.add_row(*(escape.terminal(text.replace(" ± ", "±"), "bold" if best else "") for text, best in row))
    return shown


def flat(table: Table) -> tuple[list[str], list[list[tuple[str, bool]]]]:
    """Return the titles of a table's columns, those of its index first, and of each row the texts with whether they are
    bold.
    """
    cells, levels = table.cells.reset_index(), table.cells.index.nlevels
    bold = np.pad(table.bold.to_numpy(dtype=bool), ((0, 0), (levels, 0)))
    rows = [
        list(zip(map(str, row), marks, strict=True))
        for row, marks in zip(cells.itertuples(index=False), bold.tolist(), strict=True)
    ]
    return [str(title) for title in cells.columns], rows


def markdown(table: Table) -> str:
    """Return the table in Markdown, caption first."""
    titles, rows = flat(table)
    texts = [[f"**{escape.markdown(text)}**" if best else escape.markdown(text) for text, best in row] for row in rows]
    printed = tabulate(texts, [escape.markdown(title) for title in titles], tablefmt="pipe", disable_numparse=True)
    return f"{escape.markdown(table.caption)}\n\n{printed}\n"


def csv(table: Table) -> str:
    """Return the numbers behind the table as CSV."""
    return as_csv(table.tidy)


def html(table: Table) -> str:
    """Return the table as an HTML fragment.

    The cells of a column with a sentence are ``text``, a table with many columns or a sentence is ``wide``.
    """
    titles, rows = flat(table)
    sentences = [any(len(row[place][0]) > SENTENCE for row in rows) for place in range(len(titles))]
    wide = " wide" if len(titles) > NARROW or any(sentences) else ""
    heads = "".join(
        f'<th scope="col"{_kind(sentence)}>{escape.html(title)}</th>'
        for title, sentence in zip(titles, sentences, strict=True)
    )
    names = table.cells.index.nlevels
    cells = [
        [
            _html_cell(title, sentence, *cell, names=place < names)
            for place, (title, sentence, cell) in enumerate(zip(titles, sentences, row, strict=True))
        ]
        for row in rows
    ]
    body = "".join(f"<tr>{''.join(row)}</tr>\n" for row in cells)
    kinds = f"names{names} {escape.file_name(table.name)}{wide}"
    return f'<table class="{kinds}">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>'


def _kind(sentence: bool) -> str:
    return ' class="text"' if sentence else ""


def _html_cell(title: str, sentence: bool, text: str, best: bool, names: bool) -> str:
    shown = f"<b>{escape.html(text)}</b>" if best else escape.html(text)
    tag, scope = ("th", ' scope="row"') if names else ("td", "")
    return f'<{tag}{scope} data-title="{escape.html(title)}"{_kind(sentence)}>{shown}</{tag}>'
