"""``bench.py export``: the finished cells of a grid for another tool."""

import argparse
import importlib

from rich.console import Console

from headbench.runners.commands.arguments import add_grid, add_out, grid_name, path, require_grid
from headbench.runners.commands.screen import say

HELP = "write histories and results of a grid's finished cells for TensorBoard, for Weights & Biases, or as CSV"
WRITERS = {"tensorboard": "tensorboard", "wandb": "weights_and_biases", "csv": "tables"}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("what", choices=tuple(WRITERS), help="for which tool")
    add_grid(parser)
    add_out(parser)
    parser.add_argument("--to", type=path, metavar="DIR", help="folder to write (default: one of the grid's)")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write the finished cells of a grid, and say what shows them; return 1 if a cell or a history was left out."""
    from headbench.core.errors import UserError
    from headbench.results import store
    from headbench.results.export import runs, tables

    if arguments.what != "csv":
        try:
            importlib.import_module(arguments.what)
        except ImportError:
            library = arguments.what
            raise UserError(f"export: {library} is not installed: pip install 'headbench[{library}]'") from None
    grid = grid_name(arguments.grid)
    require_grid(arguments.out, grid)
    found, damaged = runs.of_grid(arguments.out, grid)
    if not found:
        raise UserError(f"export: no cell of grid '{grid}' in {arguments.out} is done")
    if arguments.what == "csv" and arguments.to is not None:
        tables.refuse_others(found, arguments.to)
    to = arguments.to or store.grid_folder(arguments.out, grid) / arguments.what
    shown = importlib.import_module(f"headbench.results.export.{WRITERS[arguments.what]}").write(found, to, grid)
    for line in damaged:
        say(console, line)
    say(console, f"exported: {len(found)} cells; {shown}")
    return 1 if damaged else 0
