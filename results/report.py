"""Everything derived from a grid's finished cells: ``results.csv``, tables, figures and the page that shows them."""

import base64
import math
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from results import beside, claims, classes, collapse, cosines, dynamics, figures, frame, pairs, rankings, recalibrate, reliability, store, tables
from results.tables import Table

# A figure as the content of its files, by suffix.
Picture = dict[str, bytes]
# With so many comparisons they are drawn in parallel.
MANY = 4
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


def build(out: Path, grid: str, bins: int | None = None) -> Report:
    """Write a grid's ``results.csv``, ``results.parquet``, ``tables/``, ``figures/`` and ``report.html`` from what is finished.

    Args:
        out: folder of the runs.
        grid: the grid's name.
        bins: of the calibration errors, which are then computed anew from the stored predictions.

    Raises:
        FileNotFoundError: if the grid has no folder there.
        DamagedError: if the grid's own file is damaged.
    """
    folder, rows = store.grid_folder(out, grid), frame.load(out, grid)
    rows, damaged = (rows, list[str]()) if bins is None else recalibrate.recalibrate(rows, out, bins)
    frame.save(rows, folder)
    made, pictures = tables.of(rows), dict[str, Picture]()
    jobs = [(part, out, description, name) for name, (description, part) in tables.named_comparisons(rows).items()]
    for more, drawn, lines in _each(jobs):
        made, pictures, damaged = [*made, *more], pictures | drawn, [*damaged, *lines]
    pictures |= {name: _encode(figure) for name, figure in _against_imbalance(rows).items()}
    for selection in (name for name in tables.SELECTIONS if (rows["selection"] == name).any()):
        made += beside.tables(rows, selection)
    ranked = rankings.rank(rows, "last")
    if ranked is not None:
        heads, averages, several = ranked
        made += [rankings.table(heads, averages, several, "last")]
        pictures |= {"ranks": _encode(rankings.diagram(heads, averages))} if several and not math.isnan(averages.p) else {}
    found = claims.check(rows, "last")
    made += [] if found.empty else [claims.as_table(found)]
    renderers: dict[str, Callable[[Table], str]] = {"md": tables.markdown, "tex": tables.latex, "csv": lambda table: table.tidy.to_csv(index=False)}
    for table in made:
        for suffix, render in renderers.items():
            store.write_text(folder / "tables" / f"{table.name}.{suffix}", render(table))
    for name, forms in pictures.items():
        for suffix, content in forms.items():
            store.write_bytes(folder / "figures" / f"{name}.{suffix}", content)
    sources = {name: f"data:image/png;base64,{base64.b64encode(forms['png']).decode()}" for name, forms in pictures.items()}
    page = folder / "report.html"
    template = jinja2.Template(TEMPLATE.read_text(), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    unfinished = len(store.read_plan(folder)["cells"]) - rows["cell_id"].nunique()
    cells = rows[(rows["selection"] == "last") | (rows["status"] == "failed")]
    fragments = [(table.caption, tables.html(table)) for table in made]
    store.write_text(page, template.render(grid=grid, rows=rows, unfinished=unfinished, cells=cells, tables=fragments, figures=sources, damaged=damaged))
    return Report(rows, made, page, damaged)


def _each(jobs: list[tuple[pd.DataFrame, Path, str, str]]) -> list[tuple[list[Table], dict[str, Picture], list[str]]]:
    """Do :func:`_comparison` of each job, on all cores where there are many: a comparison takes seconds to draw, a process as long to start."""
    if len(jobs) < MANY:
        return [_comparison(*job) for job in jobs]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(jobs)), multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(_comparison, *zip(*jobs, strict=True)))


def _comparison(part: pd.DataFrame, out: Path, description: str, name: str) -> tuple[list[Table], dict[str, Picture], list[str]]:
    """Return what only finished cells have: tables and figures of one comparison, and a line for each file that is damaged."""
    if not (part["selection"] == "last").any():
        return [], {}, []
    pooled, damaged = reliability.pool(part, out)
    shapes, unread = cosines.of(part, out)
    history, missing = dynamics.histories(part, out)
    pair, moves = pairs.table(part, out, "last", description, name), dynamics.assignment(history, description)
    made = [] if pair is None else [pair]
    made += [collapse.table(part, description, name)] if part["nc1"].notna().any() else []
    made += [classes.table(part, out, description, name)]
    drawn = {f"{name}-accuracy": figures.accuracy(part, description), f"{name}-ece": figures.calibration_errors(part, description)}
    drawn |= {f"{name}-reliability": reliability.side_by_side(pooled, part, description)} if len(pooled) > 1 else {}
    drawn |= {f"{name}-reliability-{head}": figure for head, figure in reliability.diagrams(pooled, part).items()}
    drawn |= {f"{name}-collapse-{head}": figure for head, figure in shapes.items()}
    drawn |= {} if moves is None else {f"{name}-assignment": moves}
    return made, {title: _encode(figure) for title, figure in drawn.items()}, [*damaged, *unread, *missing]


def _against_imbalance(rows: pd.DataFrame) -> dict[str, Figure]:
    """Draw what differs in the imbalance factor alone, at the largest dimension."""
    drawn = dict[str, Figure]()
    keys = ["dataset", "backbone", "recipe", "projection"]
    for key, part in rows.groupby([*keys, rows["n_val"] > 0], sort=False):
        if part.loc[part["selection"] == "last", "imbalance_factor"].nunique() > 1:
            dim = part["feature_dim"].max()
            name = f"{key[0]}-imbalance" if f"{key[0]}-imbalance" not in drawn else f"{key[0]}-imbalance-{len(drawn) + 1}"
            description = ", ".join(f"{title} {value}".strip() for title, value in zip(("", "", "recipe", "projection"), key, strict=False))
            description += f", d = {dim}, protocol {', '.join(part['protocol'].unique())}"
            drawn[name] = figures.imbalance(part[part["feature_dim"] == dim], description)
    return drawn


def _encode(figure: Figure) -> Picture:
    return {form: figures.encode(figure, form) for form in ("png", "svg")}
