"""Everything derived from a grid's finished cells: ``results.csv``, tables, figures and the page that shows them."""

import base64
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from core import escape
from results import (
    beside,
    claims,
    classes,
    collapse,
    cosines,
    derived,
    dynamics,
    figures,
    frame,
    pairs,
    rankings,
    recalibrate,
    reliability,
    store,
    tables,
    trust,
)
from results.answers import Answers
from results.derived import tried
from results.differences import not_separated
from results.tables import Table

T = TypeVar("T")
# A figure as the content of its files, by suffix.
Picture = dict[str, bytes]
# Tables, figures by name, and lines that say what could not be made.
Part = tuple[list[Table], dict[str, Picture], list[str]]
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
        damaged: a line for each stored file that could not be used, and for each table or figure that could not be made or written.
        written: whether the page was.
    """

    rows: pd.DataFrame
    tables: list[Table]
    page: Path
    damaged: list[str]
    written: bool


def build(out: Path, grid: str, bins: int | None = None) -> Report:
    """Write a grid's ``results.csv``, ``results.parquet``, ``tables/``, ``figures/`` and ``report.html`` from what is finished.

    A table or figure that cannot be made is a line on the page, which is always written.

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
    answers, comparisons = Answers(out), tables.named_comparisons(rows)
    with _begun([(part, out, description, name) for name, (description, part) in comparisons.items()]) as pending:
        made = tried("tables", lambda: tables.of(rows, answers), damaged) or []
        whole = _whole(rows, answers)
        parts = [tried(f"comparison {name}", done, damaged) for name, done in zip(comparisons, pending, strict=True)]
    pictures = dict[str, Picture]()
    for more, drawn, lines in [*filter(None, parts), whole]:
        made, pictures, damaged = [*made, *more], pictures | drawn, [*damaged, *lines]
    missing = figures.without_glyphs([*rows["dataset"], *rows["head_label"]])
    damaged += [f"the font of the figures has no {missing}: such letters are boxes there"] if missing else []
    files = _files(rows, made, pictures, damaged)
    damaged += derived.write(folder, files)
    page = _page(grid, rows, len(store.read_plan(folder)["cells"]), made, pictures, damaged)
    unwritten = derived.write(folder, {"report.html": page.encode()})
    return Report(rows, made, folder / "report.html", [*damaged, *unwritten], not unwritten)


def _whole(rows: pd.DataFrame, answers: Answers) -> Part:
    """Return what is of the grid as a whole: figures against the imbalance factor, tables beside the published numbers, average ranks and claims."""
    lines = list[str]()
    pictures = tried("imbalance", lambda: {name: _encode(figure) for name, figure in _against_imbalance(rows).items()}, lines) or {}
    made = list[Table]()
    for selection in (name for name in tables.SELECTIONS if (rows["selection"] == name).any()):
        made += tried(f"published {selection}", partial(beside.tables, rows, selection), lines) or []
    for more, drawn, why in filter(None, [tried("ranks", lambda: _ranks(rows, answers), lines)]):
        made, pictures, lines = [*made, *more], pictures | drawn, [*lines, *why]
    made += tried("claims", lambda: claims.as_tables(claims.check(rows, answers, "last")), lines) or []
    return made, pictures, lines


def _ranks(rows: pd.DataFrame, answers: Answers) -> Part:
    """Return table and figure of the average ranks, and a line that says why there are none."""
    ranked, left_out = rankings.rank(rows, answers, "last")
    if ranked is None:
        return [], {}, [f"no average ranks, since no condition has every head soundly trained: {'; '.join(left_out)}"] if left_out else []
    tested = ranked.several and not math.isnan(ranked.found.p)
    return [rankings.table(ranked, "last")], {"ranks": _encode(rankings.diagram(ranked.heads, ranked.found))} if tested else {}, []


def _files(rows: pd.DataFrame, made: list[Table], pictures: dict[str, Picture], lines: list[str]) -> dict[str, bytes]:
    """Return the content of every file but the page by its name; what cannot be printed becomes one more line."""
    files = tried("results", lambda: frame.files(rows), lines) or {}
    for table in made:
        for suffix, render in {"md": tables.markdown, "tex": tables.latex, "csv": tables.csv}.items():
            printed = tried(f"table {table.name}.{suffix}", partial(render, table), lines)
            files |= {} if printed is None else {f"tables/{escape.file_name(table.name)}.{suffix}": printed.encode()}
    return files | {f"figures/{escape.file_name(name)}.{suffix}": content for name, forms in pictures.items() for suffix, content in forms.items()}


def _page(grid: str, rows: pd.DataFrame, planned: int, made: list[Table], pictures: dict[str, Picture], lines: list[str]) -> str:
    """Return the page; the template escapes what is no fragment of HTML."""
    shown = tables.with_texts(rows, escape.plain)
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page: str = template.render(
        grid=escape.plain(grid),
        trust=[escape.plain(line) for line in trust.lines(rows)],
        rows=shown,
        cells=shown[(rows["selection"] == "last") | (rows["status"] == "failed")],
        unfinished=planned - rows["cell_id"].nunique(),
        tables=[(escape.plain(table.caption), Markup(tables.html(table))) for table in made],
        figures={escape.plain(name): Markup(f"data:image/png;base64,{base64.b64encode(forms['png']).decode()}") for name, forms in pictures.items()},
        damaged=[escape.plain(line) for line in lines],
    )
    return page


@contextmanager
def _begun(jobs: list[tuple[pd.DataFrame, Path, str, str]]) -> Iterator[list[Callable[[], Part]]]:
    """Begin :func:`_comparison` of each job, and yield what waits for its end: on all cores where there are many, beside whatever the block does meanwhile.

    A comparison takes seconds to draw, a process as long to start.
    """
    if len(jobs) < MANY:
        yield [partial(_comparison, *job) for job in jobs]
        return
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(jobs)), multiprocessing.get_context("spawn")) as pool:
        yield [pool.submit(_comparison, *job).result for job in jobs]


def _comparison(part: pd.DataFrame, out: Path, description: str, name: str) -> Part:
    """Return what only finished cells have: tables and figures of one comparison, and a line for each file that is damaged or part that cannot be made."""
    if not (part["selection"] == "last").any():
        return [], {}, []
    drawn, lines = dict[str, Picture](), list[str]()

    def read(what: str, source: Callable[[Any, Path], tuple[T, list[str]]], otherwise: T) -> T:
        found, damaged = tried(f"{name}, {what}", lambda: source(part, out), lines) or (otherwise, [])
        lines.extend(damaged)
        return found

    def draw(what: str, figures_of: Callable[[], dict[str, Figure]]) -> None:
        drawn.update(tried(f"{name}, {what}", lambda: {f"{name}-{title}": _encode(figure) for title, figure in figures_of().items()}, lines) or {})

    pooled = read("reliability", reliability.pool, dict[str, reliability.Pooled]())
    shapes = read("geometry", cosines.of, dict[str, Figure]())
    history = read("histories", dynamics.histories, pd.DataFrame())
    answers = Answers(out)
    tabled = [
        tried(f"{name}, pairs", lambda: pairs.table(part, answers, "last", description, name), lines),
        tried(f"{name}, collapse", lambda: collapse.table(part, description, name) if part["nc1"].notna().any() else None, lines),
        tried(f"{name}, classes", lambda: classes.table(part, out, description, name), lines),
    ]
    draw("accuracy", lambda: {"accuracy": figures.accuracy(part, description, not_separated(part[part["selection"] == "last"], answers))})
    draw("ece", lambda: {"ece": figures.calibration_errors(part, description)} if part[list(figures.ECES)].notna().any(axis=None) else {})
    draw("reliability", lambda: {"reliability": reliability.side_by_side(pooled, part, description)} if len(pooled) > 1 else {})
    draw("reliability", lambda: {f"reliability-{head}": figure for head, figure in reliability.diagrams(pooled, part).items()})
    draw("collapse", lambda: {f"collapse-{head}": figure for head, figure in shapes.items()})
    moves = tried(f"{name}, assignment", lambda: dynamics.assignment(history, description), lines)
    draw("assignment", lambda: {} if moves is None else {"assignment": moves})
    return [table for table in tabled if table is not None], drawn, lines


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
