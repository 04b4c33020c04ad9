"""``bench.py toy``: three heads on ten classes at d = 2, drawn on the circle."""

import argparse

from rich.console import Console

from headbench.runners.commands.arguments import add_out
from headbench.runners.commands.screen import say

GRID = "toy"
HELP = "train three heads on the ten digits at d = 2 and draw on the circle where their classes lie"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_out(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run the grid ``toy`` and draw its features."""
    from headbench import results
    from headbench.results import store
    from headbench.results.figures import sphere
    from headbench.results.figures.base import encode
    from headbench.runners.commands import grammar, run

    words = ["run", "--grid", GRID, "--out", str(arguments.out), "--workers", "1", "--threads", "1", "--no-report"]
    status = run.run(grammar.parse(words), console)
    if status:
        return status
    rows = results.load(arguments.out, "toy")
    file = store.grid_folder(arguments.out, "toy") / "figures" / "circle.png"
    store.write_bytes(file, encode(sphere.toy(rows[rows["selection"] == "last"], arguments.out), "png"))
    say(console, f"picture: {file}")
    return status
