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
    add_json,
    add_out,
    add_plugin,
    add_quiet,
    add_training,
    add_words,
    path,
    run_options,
)
from headbench.runners.commands.report import command_of, report_at_the_end
from headbench.runners.commands.screen import Screen, say, say_json, show_rows

if TYPE_CHECKING:
    from headbench.runners.execution.launch import Launch
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
    parser.add_argument(
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="train each cell on N devices, which share its batches (default: 1); for cells that are too large for one",
    )
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
    add_quiet(parser)
    add_json(parser)
    parser.add_argument(
        "--no-report", action="store_true", help="write no tables, figures and report; 'bench.py report' does it later"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train what is missing of a grid and build its report; return the exit status.

    With ``--json`` all that people read is on stderr.
    """
    from headbench.runners.execution import earlier, launch
    from headbench.runners.inspection import kept, status

    screen = Screen(stderr=True, quiet=arguments.quiet) if arguments.json else console
    prepared = launch.prepare(
        run_options(
            arguments,
            cells=arguments.cell,
            keep_weights=arguments.keep_weights,
            retry_failed=arguments.retry_failed,
            wait=not arguments.no_wait,
            tuned=arguments.tuned,
            devices=arguments.devices,
        )
    )
    if not arguments.plugin:
        kept.keep()
    if arguments.dry_run:
        earlier.tell_untried(prepared.untried)
        show_plan(prepared.wanted, prepared.todo, screen)
        seconds = status.seconds_left(prepared.entries, prepared.finished, prepared.todo, prepared.job.share.workers)
        if seconds is not None:
            screen.print(f"about {datetime.timedelta(seconds=round(seconds))} by the finished cells of the same kind")
    else:
        launch.execute(prepared, Screen(quiet=True) if arguments.quiet else screen)
    code = 0 if arguments.dry_run else ended(prepared, arguments, screen)
    if arguments.json:
        cells = [p.facts | {"cell_id": p.cell_id, "not_applicable": p.not_applicable} for p in prepared.wanted]
        say_json(console, {"grid": prepared.grid.name} | status.told(cells, arguments.out, whole=False))
    return code


def ended(prepared: "Launch", arguments: argparse.Namespace, console: Console) -> int:
    """Show what has come of a grid, with its report unless there is to be none; return the exit status."""
    from headbench.results import store
    from headbench.runners.execution import queue

    if arguments.no_report:
        endings = queue.endings((entry["cell_id"] for entry in prepared.entries), arguments.out)
        failed = [cell_id for cell_id, ending in endings.items() if ending == "failed"]
        told = set() if arguments.quiet else {p.cell_id for p in prepared.todo}
        for cell_id in (cell_id for cell_id in failed if cell_id not in told):
            folder = store.cell_folder(arguments.out, cell_id)
            _, message = store.read_ending(folder) or ("", "")
            say(console, f"failed: {cell_id}: {message} ({folder / 'error.txt'})")
        if not arguments.quiet:
            count = sum(p.not_applicable is None for p in prepared.wanted)
            done = "" if prepared.todo else f"all {count} cells had ended before; "
            say(
                console,
                f"{done}no report was asked for; this builds it: {command_of(arguments.out, prepared.grid.name)}",
            )
        return 1 if failed else 0
    asked = {p.cell_id for p in prepared.wanted} if arguments.where or arguments.cell else None
    return report_at_the_end(arguments.out, prepared.grid.name, console, cells=asked)


def show_plan(wanted: "list[Planned]", todo: "list[Planned]", console: Console) -> None:
    """Print the cells that would be run: first what is the same for all of them, then a row each."""
    waiting = {p.cell_id for p in todo}
    facts = [p.facts for p in wanted]
    varied = columns.varied(facts)
    shared = ", ".join(
        f"{axis.heading} {axis.shown(facts[0][axis.name])}"
        for axis in columns.AXES
        if axis not in varied and not (axis.quiet and facts[0][axis.name] == axis.usual)
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
