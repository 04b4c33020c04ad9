"""Everything derived from a grid's finished cells: ``results.csv``, tables, figures and the page that shows them."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from results import beside, claims, dynamics, figures, frame, pairs, store, tables
from results.tables import Table

TEMPLATE = Path(__file__).parent / "report.html.j2"


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        rows: of ``results.csv``.
        tables: in order.
        page: path of ``report.html``.
        damaged: a line for each stored file that could not be used.
    """

    rows: pd.DataFrame
    tables: list[Table]
    page: Path
    damaged: list[str]


def build(out: Path, grid: str) -> Report:
    """Write a grid's ``results.csv``, ``results.parquet``, ``tables/``, ``figures/`` and ``report.html`` from what is finished.

    Args:
        out: folder of the runs.
        grid: the grid's name.

    Raises:
        FileNotFoundError: if the grid has no folder there.
        DamagedError: if the grid's own file is damaged.
    """
    folder, rows = store.grid_folder(out, grid), frame.load(out, grid)
    frame.save(rows, folder)
    made = _tables(rows, out)
    renderers: dict[str, Callable[[Table], str]] = {"md": tables.markdown, "tex": tables.latex, "csv": lambda table: table.tidy.to_csv(index=False)}
    for table in made:
        for suffix, render in renderers.items():
            store.write_text(folder / "tables" / f"{table.name}.{suffix}", render(table))
    figures_by_name, damaged = _figures(rows, out)
    drawn = {name: _save(figure, folder / "figures" / name) for name, figure in figures_by_name.items()}
    page = folder / "report.html"
    template = jinja2.Template(TEMPLATE.read_text(), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    fragments = [(table.caption, tables.html(table)) for table in made]
    store.write_text(page, template.render(grid=grid, rows=rows, tables=fragments, figures=drawn, damaged=damaged))
    return Report(rows, made, page, damaged)


def _tables(rows: pd.DataFrame, out: Path) -> list[Table]:
    """Return every table of a grid in the order of the page: what was measured, beside what is published, the tests, the claims."""
    made = tables.of(rows)
    for selection in (name for name in tables.SELECTIONS if (rows["selection"] == name).any()):
        made += beside.tables(rows, selection)
    for name, (description, part) in tables.named_comparisons(rows).items():
        pair = pairs.table(part, out, "last", description, name)
        made += [] if pair is None else [pair]
    found = claims.check(rows, "last")
    return made if found.empty else [*made, claims.as_table(found)]


def _figures(rows: pd.DataFrame, out: Path) -> tuple[dict[str, Figure], list[str]]:
    drawn: dict[str, Figure] = {}
    damaged: list[str] = []
    for name, (description, part) in tables.named_comparisons(rows).items():
        if (part["selection"] == "last").any():
            drawn[f"{name}-accuracy"] = figures.accuracy(part, description)
            diagrams, lines = figures.reliability_of(part, out)
            drawn |= {f"{name}-reliability-{head}": figure for head, figure in diagrams.items()}
            damaged += lines
            history, lines = dynamics.histories(part, out)
            damaged += lines
            moves = dynamics.assignment(history, description)
            if moves is not None:
                drawn[f"{name}-assignment"] = moves
    return drawn, damaged


def _save(figure: Figure, path: Path) -> str:
    """Write a figure as PNG and SVG; return the PNG as a data URI."""
    png = figures.encode(figure, "png")
    store.write_bytes(path.with_name(f"{path.name}.png"), png)
    store.write_bytes(path.with_name(f"{path.name}.svg"), figures.encode(figure, "svg"))
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
