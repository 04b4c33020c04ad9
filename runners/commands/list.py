"""``bench.py list``: what can be named in a grid file."""

import argparse

from rich.console import Console

from headbench.core import escape
from headbench.runners.commands.arguments import add_plugin

HELP = "list what can be named in a grid file"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("what", choices=("backbones", "datasets", "grids", "heads", "recipes"))
    add_plugin(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the names of one kind with what is known of them."""
    from headbench.runners.inspection import listing

    for name, known in listing.lines(arguments.what):
        console.print(escape.terminal(name, "bold"))
        if known:
            console.print(known, markup=False, highlight=False)
    return 0
