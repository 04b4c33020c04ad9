"""The sections of a page, one per question: of each comparison its tables and figures."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from headbench.core import escape
from headbench.results.figures.base import Picture
from headbench.results.figures.inline import labelled
from headbench.results.page import common, facets, kinds
from headbench.results.tables import render as printing
from headbench.results.tables.base import SELECTIONS, Comparisons, Table

# Columns of a comparison by which its parts of the page are filtered.
PARTED = ("dataset", "imbalance_factor")
# Of the figures within a page, in bytes; those beyond stand in their files, so that the page of a large grid opens.
BUDGET = 2_500_000
# The selections whose tables are folded.
SECONDARY = tuple(f"-{name}" for name in SELECTIONS if name != "last")


@dataclass(frozen=True)
class Block:
    """Tables and figures of one comparison, or of the grid as a whole.

    Attributes:
        title: what sets the comparison apart, if there are several.
        of: values by which the block is filtered, by the name of their column.
        tables: as the template takes them.
        figures: of several heads.
        folded: figures of one head each, and those that stand in their files.
    """

    title: str = ""
    of: dict[str, str] = field(default_factory=dict)
    tables: list[dict[str, Any]] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    folded: list[dict[str, Any]] = field(default_factory=list)


# By the comparison or data set, and whether they are of the data set beyond its comparisons.
Blocks = dict[tuple[str, bool], Block]


class Layout:
    """Where tables and figures stand.

    Args:
        comparisons: of the grid, by name.
        said: what captions say that the page says once.

    Attributes:
        titles: what sets each comparison apart.
    """

    def __init__(self, comparisons: Comparisons, said: Iterable[str]) -> None:
        self._said = [*said, *(f" {description}." for description, _ in comparisons.values())]
        self.titles = common.facts(comparisons)[1]
        self._firsts = {name: part.iloc[0] for name, (_, part) in comparisons.items()}
        heads = {str(head) for _, part in comparisons.values() for head in part["head_label"]}
        self._heads = sorted(heads, key=len, reverse=True)
        self._datasets = {str(row["dataset"]) for row in self._firsts.values()}
        self._left = BUDGET
        self._prefixes = sorted({*comparisons, *self._datasets}, key=len, reverse=True)

    def of(self, name: str) -> dict[str, str]:
        """Return the values by which what is of a comparison is filtered."""
        return {column: facets.printed(column, self._firsts[name][column]) for column in PARTED}

    def sections(self, made: list[Table], pictures: dict[str, Picture]) -> list[dict[str, Any]]:
        """Return the sections that have something to show: title, anchor and a block per comparison."""
        found: dict[str, Blocks] = {title: {} for title in (*kinds.SECTIONS, kinds.REST)}
        for table in made:
            self._block(found, table.name).tables.append(self.table(table, folded=table.name.endswith(SECONDARY)))
        # Those of several heads first, which the page is to hold before all others.
        for name in sorted(pictures, key=lambda name: bool(self._head(name))):
            block, head = self._block(found, name), self._head(name)
            figure = self.figure(name, pictures[name], head)
            (block.folded if head or figure.get("apart") else block.figures).append(figure)
        return [
            {"title": title, "anchor": title.lower().replace(" ", "-"), "blocks": list(blocks.values())}
            for title, blocks in found.items()
            if blocks
        ]

    def _block(self, found: dict[str, Blocks], name: str) -> Block:
        """Return the block of a table or figure; it is made where it is the first there."""
        kind = kinds.kind_of(name, self._prefixes)
        own = next((other for other in self._prefixes if name.startswith(f"{other}-")), "")
        beyond = kind in kinds.BEYOND or own not in self._firsts
        if not beyond:
            block = Block(escape.plain(self.titles[own]), self.of(own))
        else:
            block = Block(escape.plain(own if len(self.titles) > 1 else ""), self._of_dataset(own))
        return found[kinds.section_of(kind)].setdefault((own, beyond), block)

    def _of_dataset(self, name: str) -> dict[str, str]:
        return {"dataset": facets.printed("dataset", name)} if name in self._datasets else {}

    def _head(self, name: str) -> str:
        """Return the head that a figure is of, nothing for one of several; it may be called as a kind is."""
        kind = kinds.kind_of(name, self._prefixes)
        return next((head for head in self._heads if name.endswith(f"-{kind}-{head}")), "")

    def table(self, table: Table, *, folded: bool) -> dict[str, Any]:
        """Return a table as the template takes it."""
        file = escape.file_name(table.name)
        return {
            "caption": escape.plain(self._caption(table.caption)),
            "html": Markup(printing.html(table)),
            "folded": folded,
            "files": {form: f"tables/{file}.{form}" for form in ("csv", "tex", "md")},
        }

    def _caption(self, caption: str) -> str:
        """Return the caption of a table less what is said above, and what the first table of its kind explains."""
        shown = common.shorter(caption, self._said)
        self._said += [text for text in common.ONCE if text in shown]
        return shown

    def figure(self, name: str, picture: Picture, head: str = "") -> dict[str, Any]:
        """Return a figure as the template takes it, in the smaller of its forms; where there is none, its caption."""
        caption = {"caption": escape.plain(common.shorter(picture.caption, self._said))}
        if not picture.forms:
            return caption
        kind, file = kinds.kind_of(name, self._prefixes), escape.file_name(name)
        shown = escape.plain(", ".join(filter(None, [kinds.SHOWN.get(kind, name), head])))
        size = "full" if picture.wide else "column"
        drawn = self._drawn(picture, f"{shown}.", size)
        apart = Markup('<img class="{}" alt="{}" loading="lazy" src="{}">').format(
            size, f"{shown}.", f"figures/{quote(file)}.svg"
        )
        return caption | {
            "html": drawn or apart,
            "apart": not drawn,
            "of": {"head_label": escape.plain(head)} if head else {},
            "files": {form: f"figures/{file}.{form}" for form in picture.forms},
        }

    def _drawn(self, picture: Picture, label: str, size: str) -> Markup:
        """Return a figure as an element of HTML, in the smaller of its forms, or nothing where there is no room for it.

        The points of an SVG say their values.
        """
        drawn = labelled(picture.element, label, size)
        source = base64.b64encode(picture.forms["png"]).decode()
        if len(source) < len(drawn):
            drawn = Markup('<img class="{}" alt="{}" src="data:image/png;base64,{}">').format(size, label, source)
        if len(drawn) > self._left:
            return Markup()
        self._left -= len(drawn)
        return drawn
