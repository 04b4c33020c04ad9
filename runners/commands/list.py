"""``bench.py list``: what can be named in a grid file."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from headbench.core import escape
from headbench.runners.commands.arguments import add_json, add_plugin
from headbench.runners.commands.screen import say_json

if TYPE_CHECKING:
    from headbench.runners.inspection.listing import Listed, Option

HELP = "list what can be named in a grid file"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("what", choices=("backbones", "datasets", "grids", "heads", "recipes"))
    parser.add_argument(
        "entry", nargs="?", metavar="NAME", help="one of them with all that is known of it (default: all of them)"
    )
    add_plugin(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the names of one kind, or one of them, with what is known of them."""
    from headbench.runners.inspection import kept, listing

    found = (listing if arguments.plugin else kept).listed(arguments.what)
    if arguments.entry:
        found = [listing.one(arguments.what, found, arguments.entry)]
    if arguments.json:
        say_json(console, {arguments.what: [asdict(known) for known in found]})
    else:
        console.print(aligned(found))
    return 0


def aligned(found: "list[Listed]") -> Table:
    """Return names and options in one column, what is known of them in the other."""
    table = Table.grid("name", "known", padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True
    for known in found:
        table.add_row(escape.terminal(known.name, "bold"), escape.terminal(known.description))
        for field, text in known.about.items():
            table.add_row("", escape.terminal(f"{field}: {text}"))
        for option in known.options:
            table.add_row(escape.terminal(f"  {option.name}"), escape.terminal(described(option)))
    return table


def described(option: "Option") -> str:
    """Return an option's type, default and meaning on one line, the default as a grid file writes it."""
    default = option.default if isinstance(option.default, str) and option.default else json.dumps(option.default)
    return f"{option.type} ({'required' if option.required else f'default {default}'}): {option.description}"
