"""``bench.py merge``: the cells of several folders of runs in one."""

import argparse
from contextlib import ExitStack

from rich.console import Console

from headbench.runners.commands.arguments import add_plugin, path
from headbench.runners.commands.screen import say

HELP = "bring the cells of several folders of runs together, and name those that disagree"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "folders",
        nargs="+",
        type=path,
        metavar="DIR",
        help="folders of results, or bundles (.zip); without --into the first takes the others",
    )
    parser.add_argument("--into", type=path, metavar="DIR", help="folder that takes all of them, and need not exist")
    add_plugin(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Merge folders, and say what became of their cells; return 1 if some were left out."""
    from headbench.core.errors import UserError
    from headbench.runners.commands.report import command_of
    from headbench.runners.exchange import merging
    from headbench.runners.exchange.opening import opened

    first, *others = arguments.folders
    if arguments.into is None and not others:
        raise UserError("merge: give two folders of results at least, or one and --into")
    into, sources = (first, others) if arguments.into is None else (arguments.into, arguments.folders)
    if into.suffix == ".zip":
        raise UserError(f"merge: {into}: a bundle takes no cells; name a folder for them with --into")
    if arguments.into is None and not into.is_dir():
        raise UserError(f"merge: there is no folder {into}; for a new one name all others, and it with --into")
    with ExitStack() as opening:
        places = {place: opening.enter_context(opened(place))[1] for place in sources if place.suffix == ".zip"}
        merged = merging.merge([places.get(place, place) for place in sources], into)
    for file, place in places.items():
        merged.conflicts = [line.replace(str(place), str(file)) for line in merged.conflicts]
    say(console, f"{into}: {', '.join(f'{count} {what}' for what, count in merged.counts.items()) or 'no cells'}")
    for line in merged.conflicts:
        say(console, line)
    for grid in merged.grids:
        say(console, f"pages: {command_of(into, grid)}")
    return 1 if merged.conflicts else 0
