"""``bench.py leaderboard``: one static page of all recorded rows."""

import argparse
from pathlib import Path

from rich.console import Console

from headbench.runners.commands.arguments import path
from headbench.runners.commands.screen import say

HELP = "write one page of all rows of results/measured/, with verdicts, published numbers and how each was made"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--to", type=path, default=Path("docs/leaderboard"), metavar="DIR", help="folder (default: docs/leaderboard)"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write the page, and say where it is."""
    from headbench.results import recorded
    from headbench.results.leaderboard import page

    say(console, f"leaderboard: {page.write(recorded.FOLDER, arguments.to)}")
    return 0
