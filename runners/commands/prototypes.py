"""``bench.py prototypes``: how well prototypes are spread, with a proven bound; their picture.

The table that comes with the harness.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from headbench.core.errors import UserError
from headbench.runners.commands.arguments import path, require_checkout
from headbench.runners.commands.screen import say

HELP = "certify how well C prototypes are spread in d dimensions; in two and three also draw them"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("classes", type=int, nargs="?", help="C")
    parser.add_argument("dim", type=int, nargs="?", help="d")
    parser.add_argument(
        "--method", default="separated", help="a method, or a file (default: separated); --compare names all"
    )
    parser.add_argument("--compare", action="store_true", help="all methods")
    parser.add_argument("--seed", type=int, default=0, help="prototype_seed (default: 0)")
    parser.add_argument("--png", type=path, help="the picture (default: prototypes-CxD.png)")
    parser.add_argument(
        "--save", type=path, metavar="FILE.npz", help="keep them: array 'prototypes' (C, d), method, seed, certificate"
    )
    parser.add_argument(
        "--rebuild-table", action="store_true", help="search the prototypes again that come with the harness"
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print certificates of prototypes and draw those in two and three dimensions, or rebuild the own table."""
    from headbench.runners.inspection import certificates

    if arguments.rebuild_table:
        require_checkout("prototypes --rebuild-table")
        for (num_classes, dim), cosine in certificates.rebuild_table():
            console.print(f"{num_classes} x {dim}: max cosine {cosine:.5f}")
        return 0
    if arguments.classes is None or arguments.dim is None:
        raise UserError(
            "prototypes: the number of classes and the dimension are missing, as in: bench.py prototypes 100 25"
        )
    if arguments.png and arguments.dim not in (2, 3):
        raise UserError(f"--png: prototypes can be drawn in 2 and 3 dimensions, not in {arguments.dim}")
    if arguments.save and arguments.compare:
        raise UserError("--save keeps the prototypes of one method: name it with --method, and leave --compare out")
    if arguments.save and arguments.save.exists():
        raise UserError(f"--save: {arguments.save} exists, and is not overwritten; name another file, or remove it")
    methods = list(certificates.METHODS) if arguments.compare else [arguments.method]
    table, pictures = Table(*certificates.TITLES), {}
    for method, points, found in certificates.certified(methods, arguments.classes, arguments.dim, arguments.seed):
        table.add_row(*certificates.row(method, found))
        pictures[f"{method}: max cosine {found.max_cosine:.4f}"] = points
        if arguments.save:
            certificates.save(arguments.save, method, arguments.seed, points, found)
    console.print(table)
    console.print(certificates.bound(arguments.classes, arguments.dim), highlight=False)
    if arguments.save:
        say(console, f"written: {arguments.save}")
    if arguments.dim in (2, 3):
        from headbench.results import store
        from headbench.results.figures import sphere
        from headbench.results.figures.base import encode

        file = arguments.png or Path(f"prototypes-{arguments.classes}x{arguments.dim}.png")
        store.write_bytes(file, encode(sphere.prototypes(pictures), "png"))
        say(console, f"written: {file}")
    return 0
