"""Everything derived from a grid's finished cells: ``results.csv``, tables, figures and the page that shows them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from headbench.core import escape
from headbench.results import columns, comparison, derived, grid_rows, recalibrate, store
from headbench.results.answers import Answers
from headbench.results.comparison import Part
from headbench.results.derived import tried
from headbench.results.figures import compute, drawers, imbalance, outside, sensitivity
from headbench.results.figures.base import Drawn, Picture, heads_of, names_of, picture, set_size, without_glyphs
from headbench.results.figures.ranks import diagram
from headbench.results.ood import frame
from headbench.results.page import made_by, page, sentences
from headbench.results.tables import by_compute, by_recipe, latex, ood, paper_claims, published, ranks, render
from headbench.results.tables.base import SELECTIONS, Comparisons, Table, describe, named_comparisons
from headbench.results.tables.main import main_tables
from headbench.results.tables.names import Key, Names
from headbench.results.tuning import searches
from headbench.results.tuning.section import section


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        rows: of ``results.csv``.
        tables: in order.
        page: path of ``report.html``.
        damaged: a line for each stored file that could not be used, and for each table or figure that could not be made
            or written.
        written: whether the page was.
    """

    rows: pd.DataFrame
    tables: list[Table]
    page: Path
    damaged: list[str]
    written: bool


def build(
    out: Path,
    grid: str,
    bins: int | None = None,
    storage: str | None = None,
    size: dict[str, float] | None = None,
) -> Report:
    """Write a grid's ``results.csv``, ``results.parquet``, ``tables/``, ``figures/`` and ``report.html`` from what is
    finished, with what its hyperparameter search found.

    A table or figure that cannot be made is a line on the page, which is always written.

    Args:
        out: folder of the runs.
        grid: the grid's name.
        bins: of the calibration errors, which are then computed anew from the stored predictions.
        storage: where the studies of the grid's search are, if not where the search says.
        size: of figures, if not the usual one: arguments of :func:`headbench.results.figures.base.set_size`.

    Raises:
        FileNotFoundError: if the grid has no folder there.
        DamagedError: if the grid's own file is damaged.
    """
    size = size or {}
    ready = partial(_get_ready, size)
    ready()
    folder, plan = store.grid_folder(out, grid), _plan(out, grid)
    before = derived.written(folder)
    with drawers.started(drawers.finished(out, plan), ready) as begin:
        answers = Answers(out)
        loaded = grid_rows.of_plan(out, plan, answers)
        loaded, damaged = (loaded, list[str]()) if bins is None else recalibrate.recalibrate(loaded, out, bins)
        content = _content(loaded, answers, Names(before.names), begin, plan.get("ood_sets", ()), damaged)
    made, pictures, damaged = content.part
    rows, files = content.rows, content.files
    missing = without_glyphs([*rows["dataset"], *rows["head_label"]])
    damaged += [f"the font of the figures has no {missing}: such letters are boxes there"] if missing else []
    search = tried("search", lambda: section(out, grid, damaged, storage), damaged) or ([], {}, [])
    files |= _files(search, names_of(loaded), damaged)
    damaged += derived.write(folder, files)
    tried(derived.LIST, partial(derived.settle, folder, before, files, content.names.given), damaged)
    unfinished = len(plan["cells"]) - rows["cell_id"].nunique()
    chosen = {"--bins": bins, "--figure-width": size.get("width"), "--font-size": size.get("font")}
    commands = made_by.commands(out, grid, plan.get("commands", []), chosen)
    text = page.render(
        grid,
        page.Shown(rows, unfinished, content.said, (made, pictures, damaged), search, commands),
        content.comparisons,
    )
    unwritten = derived.write(folder, {"report.html": text.encode()})
    return Report(loaded, made, folder / "report.html", [*damaged, *unwritten], not unwritten)


@dataclass(frozen=True)
class _Content:
    """What is made of rows: tables, figures and lines that say what is missing, files of them by their names, and the
    answer of each comparison.
    """

    rows: pd.DataFrame
    names: Names
    comparisons: Comparisons
    part: Part
    files: dict[str, bytes]
    said: dict[str, list[str]]


@pd.option_context("mode.string_storage", drawers.TEXTS)
def _content(
    loaded: pd.DataFrame, answers: Answers, names: Names, begin: drawers.Begin, sets: frame.Sets, damaged: list[str]
) -> _Content:
    """Make what the page and its files show, the figures in the processes that ``begin`` gives calls to."""
    # Texts as objects lie together, so that rows are chosen twice as fast, and columns in less time too.
    rows = loaded.astype({name: object for name, kind in loaded.dtypes.items() if kind == "str"}).copy()
    rows.columns = rows.columns.astype(object)
    comparisons = named_comparisons(rows, names)
    pending = {
        name: begin(comparison.show, part, answers.among(part["cell_id"]), description, name)
        for name, (description, part) in comparisons.items()
    }
    files = tried("results", lambda: grid_rows.files(loaded), damaged) or {}

    def printed(part: Part) -> Part:
        """Print the tables of a part, beside the figures that are still drawn."""
        files.update(_files(part, names_of(loaded), damaged))
        return part

    tables = printed((tried("tables", lambda: main_tables(comparisons, answers), damaged) or [], {}, []))
    whole = printed(_whole(rows, answers, names))
    of_sets = partial(_outside, comparisons, rows, answers.out, sets)
    other_sets, numbers = tried("ood", of_sets, damaged) or (([], {}, []), {})
    said = tried("answer", partial(_said, comparisons, answers), damaged) or {}
    apart = [printed(tried(f"comparison {name}", end, damaged) or ([], {}, [])) for name, end in pending.items()]
    made, pictures, lines = comparison.joined([tables, *apart, printed(other_sets), whole])
    return _Content(rows, names, comparisons, (made, pictures, [*damaged, *lines]), files | numbers, said)


def _get_ready(size: dict[str, float]) -> None:
    """Set the size of figures; a process that draws has imported this file, and so all that it needs."""
    set_size(**size)


def _said(comparisons: Comparisons, answers: Answers) -> dict[str, list[str]]:
    """Return the answer of each comparison that has a finished cell."""
    return {
        name: sentences.answer(part, answers)
        for name, (_, part) in comparisons.items()
        if (part["status"] == "done").any()
    }


def _whole(rows: pd.DataFrame, answers: Answers, names: Names) -> Part:
    """Return what is of the grid as a whole: figures against the imbalance factor, tables by recipe and beside the
    published numbers, average ranks and claims.
    """
    lines = list[str]()
    pictures = dict[str, Picture]()
    for what, drawn_of in {"imbalance": _against_imbalance, "compute": _against_compute}.items():
        pictures |= tried(what, partial(_drawn, drawn_of, rows, names), lines) or {}
    made = tried("recipes", lambda: by_recipe.tables(rows, answers, "last", names), lines) or []
    made += tried("compute", lambda: by_compute.tables(rows, "last", names), lines) or []
    for selection in (name for name in SELECTIONS if (rows["selection"] == name).any()):
        made += tried(f"published {selection}", partial(published.tables, rows, selection, names), lines) or []
    ranked = tried("ranks", lambda: _ranks(rows, answers, names), lines) or ([], {}, [])
    made, pictures, lines = comparison.joined([(made, pictures, lines), ranked])
    made += tried("claims", lambda: paper_claims.as_tables(paper_claims.check(rows, answers, "last")), lines) or []
    return made, pictures, lines


def _outside(
    comparisons: Comparisons, rows: pd.DataFrame, out: Path, sets: frame.Sets
) -> tuple[Part, dict[str, bytes]]:
    """Return tables and figures of how well heads tell other data sets from their own, where the grid names some, and
    the file of the numbers behind them.
    """
    measured, damaged = frame.by_set(rows, out, sets)
    if not len(measured):
        return ([], {}, []), {}
    drawn = {
        f"{name}-ood": picture(outside.outside(part, description))
        for name, (description, part) in comparisons.items()
        if part[outside.AUROCS].notna().any(axis=None)
    }
    return (ood.tables(comparisons, measured), drawn, damaged), frame.files(measured)


def _drawn(
    figures_of: Callable[[pd.DataFrame, Names], dict[str, Drawn]], rows: pd.DataFrame, names: Names
) -> dict[str, Picture]:
    return {name: picture(drawn) for name, drawn in figures_of(rows, names).items()}


def _ranks(rows: pd.DataFrame, answers: Answers, names: Names) -> Part:
    """Return tables and figures of the average ranks, of each recipe apart where there are several: an average over
    budgets would hide an order that turns around between them. A line says why there are none.
    """
    parts: dict[Key, pd.DataFrame] = {("ranks", recipe): part for recipe, part in rows.groupby("recipe", sort=False)}
    found = list[Part]()
    heads = rows.loc[rows["status"] == "done", "head_label"].unique()
    for key, name in names.of(parts).items():
        own = set(parts[key].loc[parts[key]["status"] == "done", "head_label"])
        absent = ", ".join(head for head in heads if head not in own)
        told = [f"Recipe {key[1]}.", *([f"Not trained by it: {absent}."] if absent else [])] if len(parts) > 1 else []
        found.append(_ranks_of(parts[key], answers, name, " ".join(told)))
    made, pictures, lines = comparison.joined(found)
    if len(parts) > 1 and len(heads) > 1 and not (made or lines):
        lines.append("no average ranks: each recipe is ranked apart, and none has two conditions with the same heads")
    return made, pictures, lines


def _ranks_of(rows: pd.DataFrame, answers: Answers, name: str, told: str) -> Part:
    """Return table and figures of the average ranks of one recipe. If it is one of several, ``told`` says which, and
    there are none of a single condition, whose ranks are the order of its accuracies.
    """
    ranked, left_out = ranks.rank(rows, answers, "last")
    if ranked is None:
        why = f"no average ranks, since there is no condition in which every head may be judged: {'; '.join(left_out)}"
        return [], {}, [f"{why}. {told}".strip(". ")] if left_out else []
    if told and ranked.found.n < 2:
        return [], {}, []
    drawn = {}
    if ranked.several and not math.isnan(ranked.found.p):
        drawn[name] = diagram([names_of(rows)[head] for head in ranked.heads], ranked.found)
    moved = sensitivity.moves(rows, "last")
    if (moved["kind"] != "").any():
        drawn[name.replace("ranks", "sensitivity")] = sensitivity.sensitivity(moved, rows)
    table = ranks.table(ranked, "last")
    return (
        [replace(table, name=f"{name}-last", caption=f"{table.caption} {told}".strip())],
        {key: picture(replace(one, caption=f"{one.caption} {told}".strip())) for key, one in drawn.items()},
        [],
    )


def _files(part: Part, names: dict[str, str], lines: list[str]) -> dict[str, bytes]:
    """Return the content of the files of tables and figures by their names; what cannot be printed becomes one more
    line.

    Args:
        part: with the tables and figures.
        names: what LaTeX calls the heads, by label.
        lines: that say what is missing.
    """
    made, pictures, _ = part
    printers: dict[str, Callable[[Table], str]] = {
        "md": render.markdown,
        "tex": partial(latex.latex, names=names),
        "csv": render.csv,
    }
    files = dict[str, bytes]()
    for table in made:
        for suffix, text_of in printers.items():
            text = tried(f"table {table.name}.{suffix}", partial(text_of, table), lines)
            files |= {} if text is None else {f"tables/{escape.file_name(table.name)}.{suffix}": text.encode()}
    return files | {
        f"figures/{escape.file_name(name)}.{suffix}": content
        for name, shown in pictures.items()
        for suffix, content in shown.forms.items()
    }


def _plan(out: Path, grid: str) -> dict[str, Any]:
    """Return the grid's plan, an empty one where it was searched only."""
    try:
        return store.read_plan(store.grid_folder(out, grid))
    except FileNotFoundError:
        if searches.read(out, grid) is None:
            raise
        return {"name": grid, "cells": []}


def _against_imbalance(rows: pd.DataFrame, names: Names) -> dict[str, Drawn]:
    """Draw what differs in the imbalance factor alone, at the largest dimension."""
    drawn = dict[str, Drawn]()
    # The protocol's name says whether there is a long tail.
    keys = [name for name in columns.TOGETHER if name not in {"imbalance_factor", "protocol"}]
    tailed = {
        key: part
        for key, part in rows.groupby([*keys, rows["n_val"] > 0], sort=False, dropna=False)
        if part.loc[part["selection"] == "last", "imbalance_factor"].nunique() > 1
    }
    for key, name in names.of(tailed, "-imbalance").items():
        part = tailed[key]
        dim = part["feature_dim"].max()
        description = describe(keys, key[:-1])
        description += f", d = {dim}, protocol {', '.join(part['protocol'].unique())}"
        drawn[name] = imbalance.imbalance(part[part["feature_dim"] == dim], description)
    return drawn


def _against_compute(rows: pd.DataFrame, names: Names) -> dict[str, Drawn]:
    """Draw what differs in the recipe alone, at the largest dimension of each, where its trainings differ in cost."""
    drawn = dict[str, Drawn]()
    for name, (description, part) in by_compute.costing(rows, names).items():
        dim = by_compute.measured(part, "last")["feature_dim"].max()
        drawn[name] = compute.compute(part[part["feature_dim"] == dim], description, heads_of(rows))
    return drawn
