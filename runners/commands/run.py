"""``bench.py run``, or without a command: train what is missing of a grid, and build its report."""

import argparse
import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from headbench.core import escape
from headbench.results import columns
from headbench.runners.commands.arguments import (
    add_cells,
    add_data,
    add_grid,
    add_out,
    add_plugin,
    add_training,
    add_words,
    path,
    run_options,
)
from headbench.runners.commands.screen import say, show_rows

if TYPE_CHECKING:
    from headbench.runners.execution.plan import Planned

# Above so many cells, lines are printed in place of a table.
MOST_DRAWN = 1000
HELP = "train what is missing of a grid, then write tables, figures and report (the default)"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_grid(parser)
    add_out(parser)
    add_data(parser)
    add_cells(parser, "run only")
    add_words(
        parser,
        "--cell",
        "ID",
        "run exactly these cells, for one job of an array: their identities, as --dry-run shows them",
    )
    parser.add_argument(
        "--tuned", type=path, metavar="FILE.yaml", help="give each head the values that bench.py tune has found for it"
    )
    add_training(parser)
    add_plugin(parser)
    parser.add_argument("--keep-weights", action="store_true", help="keep each cell's last weights")
    parser.add_argument("--dry-run", action="store_true", help="check everything and show the cells, train nothing")
    parser.add_argument(
        "--retry-failed", action="store_true", help="train cells again that failed or were pruned before"
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="end when no cell is free to take, though other processes still train some",
    )
    parser.add_argument(
        "--no-report", action="store_true", help="write no tables, figures and report; 'bench.py report' does it later"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train what is missing of a grid and build its report; return the exit status."""
    from headbench.results import derived
    from headbench.runners.commands.report import show_report
    from headbench.runners.execution import launch, queue
    from headbench.runners.inspection import status

    prepared = launch.prepare(
        run_options(
            arguments,
            cells=arguments.cell,
            keep_weights=arguments.keep_weights,
            retry_failed=arguments.retry_failed,
            wait=not arguments.no_wait,
            tuned=arguments.tuned,
        )
    )
    if arguments.dry_run:
        show_plan(prepared.wanted, prepared.todo, console)
        seconds = status.seconds_left(prepared.entries, prepared.finished, prepared.todo, prepared.job.share.workers)
        if seconds is not None:
            console.print(f"about {datetime.timedelta(seconds=round(seconds))} by the finished cells of the same kind")
        return 0
    launch.execute(prepared, console)
    if arguments.no_report:
        endings = queue.endings((entry["cell_id"] for entry in prepared.entries), arguments.out)
        return 1 if "failed" in endings.values() else 0
    try:
        return show_report(arguments.out, prepared.grid.name, console)
    except OSError as error:
        if error.errno in derived.FULL:
            raise
        say(console, f"no report: {error}; the cells are kept, and bench.py report tries again")
        return 1


def show_plan(wanted: "list[Planned]", todo: "list[Planned]", console: Console) -> None:
    """Print the cells that would be run: first what is the same for all of them, then a row each."""
    waiting = {p.cell_id for p in todo}
    facts = [p.facts for p in wanted]
    varied = columns.varied(facts)
    shared = ", ".join(
        f"{axis.heading} {axis.shown(facts[0][axis.name])}" for axis in columns.AXES if axis not in varied
    )
    console.print(escape.terminal(f"all cells: {shared}"))
    shown = [*varied, *(columns.NAMED[name] for name in ("n_train", "n_val", "n_test"))]
    titled = ["cell", *(column.heading for column in shown), "state"]
    rows = [
        (
            p.cell_id,
            *(column.shown(p.facts[column.name]) for column in shown),
            p.not_applicable or ("to do" if p.cell_id in waiting else "ended"),
        )
        for p in wanted
    ]
    if len(rows) > MOST_DRAWN:
        show_rows(titled, rows, console)
    else:
        table = Table(*titled)
        table.columns[0].no_wrap = True
        for column, printed in zip(shown, table.columns[1:-1], strict=True):
            # Long names wrap, so that numbers are never cut.
            printed.no_wrap, printed.overflow = column.kind != "text", "fold"
        table.columns[-1].min_width = len("to do")
        for row in rows:
            table.add_row(*map(escape.terminal, row))
        console.print(table)
    console.print(f"{len(todo)} of {len(wanted)} cells to train")
