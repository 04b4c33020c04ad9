"""``bench.py claims``: what a grid's finished cells say of the papers' claims."""

import argparse
import json
from typing import cast

from rich.console import Console

from headbench.runners.commands.arguments import add_grid, add_json, add_out, grid_name, require_grid
from headbench.runners.commands.screen import say, say_json

HELP = "judge the papers' claims by a grid's finished cells: supported, contradicted or unresolved"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_grid(parser)
    add_out(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print each claim that a grid's rows say something about, with its verdict by dimension."""
    from headbench.results import grid_rows
    from headbench.results.answers import Answers
    from headbench.results.tables import paper_claims

    grid = grid_name(arguments.grid)
    require_grid(arguments.out, grid)
    found = paper_claims.check(grid_rows.load(arguments.out, grid), Answers(arguments.out))
    if arguments.json:
        say_json(console, {"grid": grid, "claims": json.loads(found.to_json(orient="records"))})
        return 0
    for table in paper_claims.as_tables(found):
        say(console, table.caption)
        for named, verdicts in table.cells.to_dict(orient="index").items():
            claim, data = cast(tuple[str, str], named)
            say(console, f"{claim} ({data})")
            for dim, verdict in verdicts.items():
                if verdict != "-":
                    say(console, f"  {dim}: {verdict}")
    if found.empty:
        say(console, f"{grid}: its finished cells say nothing about a claim; results/claims.yaml has them all")
    return 0
