"""``bench.py data``: list data sets, verify their caches, show what the network sees."""

import argparse
from pathlib import Path

from rich.console import Console

from headbench.runners.commands.arguments import Parser, add_data, add_json, add_plugin, path
from headbench.runners.commands.screen import say, say_json, tabled

HELP = "list data sets, verify their caches, show what the network sees"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="{list,verify,show}", parser_class=Parser)
    add_json(actions.add_parser("list", help="every data set: found, cached, bundled, or to be downloaded"))
    verify = actions.add_parser("verify", help="read caches again and compare them with what was written")
    verify.add_argument(
        "dataset",
        nargs="?",
        help="a data set's name; it is read and cached first if need be (default: all that are cached)",
    )
    show = actions.add_parser("show", help="write a contact sheet of augmented training images with their labels")
    show.add_argument("dataset", help="a data set's name")
    show.add_argument("--recipe", default="fast", help="whose augmentation is shown (default: fast)")
    show.add_argument("--view", default="weak", help="of the images: weak, simclr, ... (default: weak)")
    show.add_argument("--imbalance-factor", type=float, default=1.0, help="of a long tail (default: 1)")
    show.add_argument("--count", type=int, default=50, help="images (default: 50)")
    show.add_argument("--png", type=path, help="the file to write (default: NAME.png)")
    for action in (verify, show):
        action.add_argument(
            "options", nargs="*", metavar="KEY=VALUE", help="options of the data set: path=flowers size=64"
        )
    for action in actions.choices.values():
        add_data(action)
        add_plugin(action)
        action.add_argument("--debug", action="store_true", help="show the traceback of an error")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """List, verify or show data sets."""
    from headbench.runners.execution.launch import data_folder
    from headbench.runners.grid import overrides
    from headbench.runners.inspection import datasets

    root = data_folder(arguments.data)
    if arguments.action == "list":
        rows = datasets.listed(root)
        if arguments.json:
            say_json(console, {"datasets": rows})
        else:
            console.print(tabled(rows))
        return 0
    options = overrides.assignments(arguments.options, "data")
    if arguments.action == "verify":
        for line in datasets.verify(root, arguments.dataset, options):
            say(console, line)
        return 0
    file = arguments.png or Path(f"{arguments.dataset}.png")
    sheet = datasets.Sheet(arguments.recipe, arguments.view, arguments.imbalance_factor, arguments.count)
    datasets.show(root, arguments.dataset, options, sheet, file)
    say(console, f"written: {file}")
    return 0
