"""``bench.py status``: what is done of a grid."""

import argparse

from rich.console import Console

from headbench.runners.commands.arguments import add_grid, add_json, add_out, add_plugin, grid_name, require_grid
from headbench.runners.commands.screen import say, say_json, tabled

HELP = "say which cells of a grid are done, running, failed or damaged; reads all their files"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_grid(parser)
    add_out(parser)
    add_plugin(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the cells of a grid that are not simply done, and how many are in each state."""
    from headbench.results import store
    from headbench.runners.inspection import status

    grid = grid_name(arguments.grid)
    require_grid(arguments.out, grid)
    if arguments.json:
        cells = store.read_plan(store.grid_folder(arguments.out, grid))["cells"]
        say_json(console, {"grid": grid} | status.told(cells, arguments.out))
        return 0
    rows = status.of_grid(arguments.out, grid)
    counts = {
        state: sum(row["state"] == state for row in rows) for state in dict.fromkeys(row["state"] for row in rows)
    }
    others = [row for row in rows if row["state"] not in {"done", "n/a"} or (row["state"] == "done" and row[""])]
    if others:
        console.print(tabled(others))
    say(console, f"{grid}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    hosts = status.hosts(arguments.out, (row["cell"] for row in rows if row["state"] == "running"))
    if hosts:
        say(console, "running: " + ", ".join(f"{count} on {host}" for host, count in sorted(hosts.items())))
    return 0
