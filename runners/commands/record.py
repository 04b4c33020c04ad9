"""``bench.py record``: keep the rows of a grid as data of the repository."""

import argparse

from rich.console import Console

from headbench.runners.commands.arguments import add_grid, add_out, grid_name, require_checkout, require_grid
from headbench.runners.commands.screen import say

HELP = "add the rows of a grid's finished cells to results/measured/, the numbers that the docs show"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_grid(parser)
    add_out(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Keep the rows of a grid's finished cells as data of the repository."""
    from headbench.results import recorded

    grid = grid_name(arguments.grid)
    require_grid(arguments.out, grid)
    require_checkout("record")
    file = recorded.record(arguments.out, grid, recorded.FOLDER)
    say(console, f"recorded: {file}")
    return 0
