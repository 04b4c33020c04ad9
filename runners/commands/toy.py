"""``bench.py toy``: three heads on three classes at d = 2, drawn on the circle."""

import argparse

from rich.console import Console

from headbench.runners.commands.arguments import add_out
from headbench.runners.commands.screen import say

HELP = "train three heads on three classes at d = 2 and draw their features on the circle"


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

    status = run.run(grammar.parse(["run", "--grid", "toy", "--out", str(arguments.out)]), console)
    rows = results.load(arguments.out, "toy")
    if status:
        return status
    file = store.grid_folder(arguments.out, "toy") / "figures" / "circle.png"
    store.write_bytes(file, encode(sphere.toy(rows[rows["selection"] == "last"], arguments.out), "png"))
    say(console, f"picture: {file}")
    return status
