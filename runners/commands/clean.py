"""``bench.py clean``: remove what no process needs any more."""

import argparse

from rich.console import Console

from headbench.runners.commands.arguments import add_out
from headbench.runners.commands.screen import say

HELP = "remove stale locks, checkpoints of finished cells and leftovers of killed processes; never a result"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_out(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Remove what no process needs any more, and say what."""
    from headbench.core.errors import UserError
    from headbench.runners.inspection import status

    if not arguments.out.is_dir():
        raise UserError(f"clean: there is no folder {arguments.out}")
    for path in status.clean(arguments.out):
        say(console, f"removed {path}")
    return 0
