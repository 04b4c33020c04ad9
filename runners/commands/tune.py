"""``bench.py tune``: search better values for every head of a grid, with the same budget for each."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from headbench.runners.commands.arguments import (
    add_cells,
    add_data,
    add_grid,
    add_json,
    add_out,
    add_plugin,
    add_quiet,
    add_training,
    run_options,
)
from headbench.runners.commands.report import report_at_the_end
from headbench.runners.commands.screen import Screen, say, say_json
from headbench.runners.execution.options import RunOptions

if TYPE_CHECKING:
    from headbench.runners.search.search import Team, TuneOptions

HELP = "search better values for every head of a grid, on validation alone and with the same budget"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_grid(parser)
    add_out(parser)
    add_data(parser)
    add_cells(parser, "search only for")
    add_search(parser)
    parser.add_argument(
        "--retry-failed",
        action="store_true",
        help="try the grid's own values again where they failed, and more new ones in place of others that failed",
    )
    parser.add_argument("--timeout", type=float, metavar="S", help="train nothing more after S seconds")
    add_training(parser)
    add_plugin(parser)
    add_quiet(parser)
    add_json(parser)
    parser.add_argument("--no-report", action="store_true", help="write no page; 'bench.py report' does it later")


def add_search(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add what a search is asked for, wherever its cells are trained; ``--trials`` may be what makes it a search."""
    search = "" if required else "search, as bench.py tune does: "
    parser.add_argument(
        "--trials",
        type=int,
        required=required,
        help=f"{search}trials of each study (a head at one d and data set), completed or pruned; more go on",
    )
    parser.add_argument(
        "--objective",
        default="val_top1",
        metavar="NAME[,NAME]",
        help="val_top1 (default), val_nll or val_ece; val_ece, and several of them, are searched without pruning",
    )
    parser.add_argument(
        "--storage", help="a database's URL, or a journal file (default: a journal in the grid's folder)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the search's sampler (default: 0)")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Search, and say what was found; return 1 if a study has not got its trials though there was time."""
    return by(arguments, run_options(arguments, retry_failed=arguments.retry_failed), console)


def options_of(arguments: argparse.Namespace, own: RunOptions) -> "TuneOptions":
    """Return what a search is asked for, whose cells are trained as ``own`` says."""
    from headbench.runners.search.search import TuneOptions

    return TuneOptions(
        run=own,
        trials=arguments.trials,
        objectives=tuple(arguments.objective.split(",")),
        storage=arguments.storage,
        timeout=getattr(arguments, "timeout", None),
        seed=arguments.seed,
    )


def by(arguments: argparse.Namespace, own: RunOptions, console: Console, team: "Team | None" = None) -> int:
    """Search as :func:`run` does.

    Args:
        arguments: of the command.
        own: how its cells are trained.
        console: for what is said.
        team: trains them, by default this machine.
    """
    from headbench.core import yaml_files
    from headbench.runners.search import found, search

    options = options_of(arguments, own)
    screen = Screen(stderr=True, quiet=arguments.quiet) if arguments.json else console
    searched = search.run(options, Screen(quiet=True) if arguments.quiet else screen, team)
    for study in searched.studies:
        say(screen, found.line(study))
    if not searched.in_time:
        say(screen, f"stopped after {arguments.timeout:g} s; the same command goes on")
    file: Path = arguments.out / searched.grid / found.FILE
    say(
        screen,
        f"values: {file}; fresh seeds: bench.py run --tuned {shlex.quote(str(file))}, with --grid, --set, --name, "
        f"--where, --precision, --data, --plugin and --out as here",
    )
    if not arguments.no_report:
        report_at_the_end(arguments.out, searched.grid, screen, storage=arguments.storage)
    if arguments.json:
        studies = yaml_files.read(file, file.name)["studies"]
        told = {"grid": searched.grid, "values": str(file), "complete": searched.complete, "in_time": searched.in_time}
        say_json(console, told | {"studies": studies})
    return 0 if searched.complete or not searched.in_time else 1
