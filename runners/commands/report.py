"""``bench.py report``: rebuild a grid's tables, figures and report."""

import argparse
from collections.abc import Set
from pathlib import Path
from typing import Any

from rich.console import Console

from headbench.core import escape
from headbench.runners.commands.arguments import add_grid, grid_name, path, require_grid
from headbench.runners.commands.screen import say

HELP = "rebuild a grid's tables, figures and report from its finished cells and its search"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--bins", type=int, help="compute the calibration errors anew, from the stored predictions, with so many bins"
    )
    parser.add_argument(
        "--storage", help="where the studies of the grid's search are, if their database has a password"
    )
    parser.add_argument(
        "--figure-width",
        type=float,
        metavar="INCHES",
        help="width of a column of the paper that the figures are for (default: 3.3); wide figures span two columns",
    )
    parser.add_argument("--font-size", type=float, metavar="PT", help="size of text in figures (default: 8)")
    add_grid(parser)
    parser.add_argument(
        "--out",
        type=path,
        nargs="+",
        default=[Path("runs")],
        metavar="DIR",
        help="folder of the results (default: runs), or several, whose cells make one report",
    )
    parser.add_argument(
        "--to",
        type=path,
        metavar="DIR",
        help="folder for the report of several (default: first+second beside the first)",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Build a grid's report; return the exit status."""
    grid = grid_name(arguments.grid)
    out = _one_folder(arguments.out, arguments.to, grid, console)
    given = {"width": arguments.figure_width, "font": arguments.font_size}
    size = {name: value for name, value in given.items() if value is not None}
    return show_report(out, grid, console, arguments.bins, arguments.storage, size)


def _one_folder(outs: list[Path], to: Path | None, grid: str, console: Console) -> Path:
    """Return the only folder of results, or one with links to the cells of all."""
    if to is None and len(outs) == 1:
        return outs[0]
    from headbench.runners.exchange import merging

    for out in outs:
        require_grid(out, grid)
    into = to or outs[0].with_name("+".join(out.resolve().name for out in outs))
    for line in merging.merge(outs, into, link=True).conflicts:
        say(console, line)
    return into


def report_at_the_end(out: Path, grid: str, console: Console, **more: Any) -> int:
    """Show the report of what was just trained as :func:`show_report` does; where that is not possible, one line says
    that the cells are safe: the harness's own files may have changed while it trained.
    """
    from headbench.results import derived

    try:
        return show_report(out, grid, console, **more)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in derived.FULL:
            raise
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        say(console, f"no report ({why}); the cells are safe, and this builds it: {command_of(out, grid)}")
        return 1


def command_of(out: Path, grid: str) -> str:
    """Return the command that builds a grid's report."""
    from headbench.results.page import made_by

    return made_by.commands(out, grid, [], None)[-1]


def show_report(
    out: Path,
    grid: str,
    console: Console,
    bins: int | None = None,
    storage: str | None = None,
    size: dict[str, float] | None = None,
    cells: Set[str] | None = None,
) -> int:
    """Build a grid's report and print its main table, of some cells alone where they are given; return 1 if a cell
    failed, else 0.
    """
    from headbench.results import report
    from headbench.results.answers import Answers
    from headbench.results.tables import render
    from headbench.results.tables.base import named_comparisons
    from headbench.results.tables.main import main_tables

    require_grid(out, grid, searched=True)
    built = report.build(out, grid, bins, storage, size)
    tables = built.tables
    if cells is not None:
        tables = main_tables(named_comparisons(built.rows[built.rows["cell_id"].isin(cells)]), Answers(out))
    for made in tables:
        if made.name.endswith("-accuracy-last"):
            console.print(escape.terminal(made.caption))
            console.print(render.terminal(made))
    failed = built.rows[built.rows["status"] == "failed"]
    for _, row in failed.iterrows():
        say(
            console,
            f"failed: {row['cell_id']} {row['head_label']} d={row['feature_dim']} seed={row['seed']}: {row['error']}",
        )
    for line in built.damaged:
        say(console, line)
    if built.written:
        say(console, f"report: {built.page}")
    return 1 if len(failed) else 0
