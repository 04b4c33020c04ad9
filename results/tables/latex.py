"""Tables in LaTeX, for the packages booktabs and graphicx: within the line and the page, aligned at the point."""

import re
from collections.abc import Mapping

from headbench.core import escape
from headbench.results.tables.base import Table
from headbench.results.tables.render import SENTENCE, flat

# A number in a cell, with its sign.
NUMBER = re.compile(r"(?<![\w.)])[+-]?\d+(?:\.\d+)?(?![\w.])")
SIGNS = {"-": "$-$", "+": "$+$"}
# What stands before the label of a head that others are compared with, and behind it.
COMPARED = r"(minus (?:that of )?|s / )({})(?![\w(-])"
# Lines of a table, above which it is several.
MOST = 40
# Where a caption's first sentence ends.
FIRST = re.compile(r"^(.+?\.)\s+")


def latex(table: Table, names: Mapping[str, str]) -> str:
    """Return the table in LaTeX: a short caption, a label, and beneath the table a note with the protocol; one of many
    lines in several parts, so that each can be read.

    Args:
        table: to print.
        names: what papers call the heads, by label.
    """
    titles, rows = flat(table)
    printed = [_named(title, names) for title in titles]
    named = [place for place in range(table.cells.index.nlevels) if titles[place] == "head"]
    rows = [
        [(names.get(text, text) if place in named else text, best) for place, (text, best) in enumerate(row)]
        for row in rows
    ]
    columns = [
        _column([row[place] for row in rows], name=place < table.cells.index.nlevels) for place in range(len(titles))
    ]
    heads = [
        escape.latex(title) if kind != "l" or place < table.cells.index.nlevels else _centred(escape.latex(title))
        for place, (title, (kind, _)) in enumerate(zip(printed, columns, strict=True))
    ]
    head, *body = (
        " & ".join([f"{{}}{row[0]}" if row[0][:1] in {"[", "*"} else row[0], *row[1:]]) + r" \\"
        for row in [heads, *([cells[number] for _, cells in columns] for number in range(len(rows)))]
    )
    told = _named(table.caption, names)
    found = FIRST.match(told)
    caption, note = (found[1], told[found.end() :]) if found else (told, "")
    kinds, label = "".join(kind for kind, _ in columns), escape.file_name(table.name)
    parts = [body[start : start + MOST] for start in range(0, len(body), MOST)] or [[]]
    return "\n".join(
        _float(
            kinds,
            [head, *part],
            escape.latex(f"{caption} Part {number} of {len(parts)}." if len(parts) > 1 else caption),
            f"{label}-{number}" if number > 1 else label,
            escape.latex(note) if number == len(parts) else "",
        )
        for number, part in enumerate(parts, start=1)
    )


def _float(kinds: str, lines: list[str], caption: str, label: str, note: str) -> str:
    """Return a table of some lines, the first of which is its head, made smaller where it is wider than the line or
    higher than most of a page.
    """
    below = [rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize\raggedright {note}}}"] if note else []
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{label}}}",
            rf"\sbox0{{\begin{{tabular}}{{{kinds}}}",
            *(r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"),
            r"\end{tabular}}%",
            r"\ifdim\wd0>\linewidth\sbox0{\resizebox{\linewidth}{!}{\usebox0}}\fi",
            r"\ifdim\dimexpr\ht0+\dp0\relax>0.8\textheight\sbox0{\resizebox*{!}{0.8\textheight}{\usebox0}}\fi",
            r"\usebox0",
            *below,
            r"\end{table}",
            "",
        ]
    )


def _named(text: str, names: Mapping[str, str]) -> str:
    """Return a title or a caption with names of heads in place of their labels: of the one that others are compared
    with, and of that of a column.
    """
    labels = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    if not names:
        return text
    text = re.sub(COMPARED.format(labels), lambda found: found[1] + names[found[2]], text)
    return re.sub(rf"^({labels})(?=, d = )", lambda found: names[found[1]], text)


def _column(cells: list[tuple[str, bool]], *, name: bool) -> tuple[str, list[str]]:
    """Return the kind of a column and its printed cells.

    Sentences are broken into lines, so that a table of claims stays on its page; numbers stand below each other by
    their points.
    """
    texts = [text for text, _ in cells]
    if any(len(text) > SENTENCE for text in texts):
        return "p{5cm}", [_bold(_minus(text), best) for text, best in cells]
    if name:
        return "l", [_bold(escape.latex(text), best) for text, best in cells]
    numeric = [NUMBER.match(text) is not None for text in texts]
    if not any(numeric):
        return "c", [_bold(_minus(text), best) for text, best in cells]
    widths = _widths([text for text, known in zip(texts, numeric, strict=True) if known])
    return "l", [
        _bold(_aligned(text, widths), best) if known else _centred(_bold(_minus(text), best))
        for (text, best), known in zip(cells, numeric, strict=True)
    ]


def _widths(texts: list[str]) -> list[tuple[int, int, bool]]:
    """Return of the first, second and further numbers of cells the most digits before and behind the point, and whether
    one has a sign.
    """
    found = list[tuple[int, int, bool]]()
    for text in texts:
        for place, number in enumerate(NUMBER.findall(text)):
            before, _, behind = number.lstrip("+-").partition(".")
            own = (len(before), len(behind), number[0] in SIGNS)
            if place == len(found):
                found.append(own)
            else:
                old = found[place]
                found[place] = max(old[0], own[0]), max(old[1], own[1]), old[2] or own[2]
    return found


def _aligned(text: str, widths: list[tuple[int, int, bool]]) -> str:
    """Return a cell whose numbers are as wide as those of the other cells, by digits that are not seen."""
    parts, start = list[str](), 0
    for found, (before, behind, signed) in zip(NUMBER.finditer(text), widths, strict=False):
        number = found[0].lstrip("+-")
        whole, _, digits = number.partition(".")
        missing = behind - len(digits)
        sign = SIGNS.get(found[0][0], r"\phantom{$-$}" if signed else "")
        unseen = [r"\phantom{" + "0" * (before - len(whole)) + "}"] if before > len(whole) else []
        padded = [r"\phantom{" + ("" if digits else ".") + "0" * missing + "}"] if missing else []
        parts += [escape.latex(text[start : found.start()]), *unseen, sign, number, *padded]
        start = found.end()
    return "".join([*parts, escape.latex(text[start:])])


def _minus(text: str) -> str:
    """Return a text whose numbers below zero have a minus sign and no hyphen."""
    parts, start = list[str](), 0
    for found in NUMBER.finditer(text):
        sign = SIGNS.get(found[0][0], "")
        parts += [escape.latex(text[start : found.start()]), sign, found[0].lstrip("+-")]
        start = found.end()
    return "".join([*parts, escape.latex(text[start:])])


def _bold(text: str, best: bool) -> str:
    return rf"\textbf{{{text}}}" if best else text


def _centred(text: str) -> str:
    return rf"\multicolumn{{1}}{{c}}{{{text}}}"
