"""``bench.py report``: rebuild a grid's tables, figures and report."""

import argparse
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from headbench.core import escape
from headbench.core.alone import alone
from headbench.core.errors import is_full, typed_reason
from headbench.runners.commands.arguments import add_grid, add_json, add_quiet, grid_name, path, require_grid
from headbench.runners.commands.screen import Screen, say, say_json

if TYPE_CHECKING:
    from headbench.results.report import Report
    from headbench.results.tables.base import Table

# What is told of a cell that failed.
FAILED = ["cell_id", "head_label", "feature_dim", "seed", "error"]
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
    add_quiet(parser, "print what failed and where the page is, no tables")
    add_json(parser)
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
    screen = Screen(stderr=True) if arguments.json else console
    out, conflicts = _one_folder(arguments.out, arguments.to, grid)
    for line in conflicts:
        say(screen, line)
    given = {"width": arguments.figure_width, "font": arguments.font_size}
    size = {name: value for name, value in given.items() if value is not None}
    built = _built(out, grid, arguments.bins, arguments.storage, size)
    if not arguments.quiet:
        _show_tables(built.tables, screen)
    failed = _show_lines(built, screen)
    if arguments.json:
        say_json(console, _told(grid, built, failed, conflicts))
    return 1 if failed or _unwritten(built) else 0


def _one_folder(outs: list[Path], to: Path | None, grid: str) -> tuple[Path, list[str]]:
    """Return the only folder of results, or one with links to the cells of all, and a line for each cell that was left
    out; a folder that is given twice counts once.

    Raises:
        UserError: if a folder has no such grid, or the one for all has links to cells of yet other folders.
    """
    named = dict[Path, Path]()
    for out in outs:
        named.setdefault(out.resolve(), out)
    outs = list(named.values())
    if to is None and len(outs) == 1:
        return outs[0], []
    from headbench.core.errors import UserError
    from headbench.results import store
    from headbench.runners.exchange import merging

    for out in outs:
        require_grid(out, grid)
    # "." and ".." have no name of their own.
    first = outs[0].resolve() if outs[0].name in {"", ".."} else outs[0]
    into = to or first.with_name("+".join(out.resolve().name for out in outs))
    linked = {cell.resolve() for cell in (into / store.CELLS).glob("*") if cell.is_symlink() and cell.exists()}
    own = {cell.resolve() for out in outs for cell in (out / store.CELLS).glob("*")}
    if others := sorted(linked - own):
        raise UserError(
            f"report: {into} has links to cells of {others[0].parent.parent}, too; name another folder with --to"
        )
    return into, merging.merge(outs, into, link=True).conflicts


def report_at_the_end(out: Path, grid: str, console: Console, **more: Any) -> int:
    """Show the report of what was just trained as :func:`show_report` does; where that is not possible, one line says
    that the cells are safe: the harness's own files may have changed while it trained.
    """
    try:
        return show_report(out, grid, console, **more)
    except Exception as error:
        if is_full(error):
            raise
        why = typed_reason(error)
        say(console, f"no report ({why}); the cells are safe, and this builds it: {command_of(out, grid)}")
        return 1


def command_of(out: Path, grid: str) -> str:
    """Return the command that builds a grid's report."""
    from headbench.results.page import made_by

    return made_by.commands(out, grid, [], {})[-1]


def show_report(
    out: Path, grid: str, console: Console, storage: str | None = None, cells: Set[str] | None = None
) -> int:
    """Build a grid's report and print its main table, of some cells alone where they are given; return 1 if a cell
    failed or the page could not be written, else 0.
    """
    from headbench.results.answers import Answers
    from headbench.results.tables.base import named_comparisons
    from headbench.results.tables.main import main_tables

    built = _built(out, grid, storage=storage)
    tables = built.tables
    if cells is not None:
        tables = main_tables(named_comparisons(built.rows[built.rows["cell_id"].isin(cells)]), Answers(out))
    _show_tables(tables, console)
    return 1 if _show_lines(built, console) or _unwritten(built) else 0


def _unwritten(built: "Report") -> bool:
    """Say whether the page could not be written, and a line says why."""
    return not built.written and bool(built.damaged)


def _built(
    out: Path, grid: str, bins: int | None = None, storage: str | None = None, size: dict[str, float] | None = None
) -> "Report":
    from headbench.results import store
    from headbench.results.figures import drawers

    require_grid(out, grid, searched=True)
    with suppress(FileNotFoundError):  # of a grid that was searched only
        drawers.wake(drawers.finished(out, store.read_plan(store.grid_folder(out, grid))))
    # Only now, so that the process that was woken makes the same imports at the same time.
    from headbench.results import report

    lock = store.grid_folder(out, grid) / ".report.lock"
    # Two at once would mix their files, and list and remove those of each other.
    with alone(lock, f"another process builds the report of {grid}; waiting for its end"):
        return report.build(out, grid, bins, storage, size)


def _show_tables(tables: "list[Table]", console: Console) -> None:
    """Print the tables of accuracy."""
    from headbench.results.tables import render

    for made in tables:
        if made.name.endswith("-accuracy-last"):
            console.print(escape.terminal(made.caption))
            console.print(render.terminal(made))


def _show_lines(built: "Report", console: Console) -> list[dict[str, Any]]:
    """Print what failed, what could not be made, and where the page is; return the failed cells."""
    from headbench.results import store

    failed = built.rows.loc[built.rows["status"] == "failed", FAILED].to_dict("records")
    for row in failed:
        where = f"d={row['feature_dim']} seed={row['seed']}"
        why = store.cell_folder(built.page.parent.parent, row["cell_id"]) / "error.txt"
        more = f" ({why})" if why.is_file() else ""  # a damaged cell has none
        say(console, f"failed: {row['cell_id']} {row['head_label']} {where}: {row['error']}{more}")
    for line in built.damaged:
        say(console, line)
    if built.written:
        say(console, f"report: {built.page}")
    return [{str(name): value for name, value in row.items()} for row in failed]


def _told(grid: str, built: "Report", failed: list[dict[str, Any]], conflicts: list[str]) -> dict[str, Any]:
    """Return for scripts what was built, and of what."""
    states = built.rows.drop_duplicates("cell_id")["status"].value_counts()
    return {
        "grid": grid,
        "page": str(built.page) if built.written else None,
        "counts": {str(state): int(count) for state, count in states.items()},
        "failed": failed,
        "lines": [*conflicts, *built.damaged],
        "tables": [str(built.page.parent / "tables" / f"{escape.file_name(made.name)}.csv") for made in built.tables],
    }
