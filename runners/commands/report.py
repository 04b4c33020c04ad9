"""``bench.py report``: rebuild a grid's tables, figures and report."""

import argparse
from pathlib import Path

from rich.console import Console

from headbench.core import escape
from headbench.runners.commands.arguments import add_grid, add_out, grid_name, require_grid
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
    add_grid(parser)
    add_out(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Build a grid's report; return the exit status."""
    return show_report(arguments.out, grid_name(arguments.grid), console, arguments.bins, arguments.storage)


def show_report(out: Path, grid: str, console: Console, bins: int | None = None, storage: str | None = None) -> int:
    """Build a grid's report and print its main table; return 1 if a cell failed, else 0."""
    from headbench.results import report
    from headbench.results.tables import render

    require_grid(out, grid, searched=True)
    built = report.build(out, grid, bins, storage)
    for made in built.tables:
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
