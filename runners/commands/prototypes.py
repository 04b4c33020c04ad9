"""``bench.py prototypes``: how well prototypes are spread, with a proven bound; their picture.

The table that comes with the harness.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from headbench.core import escape
from headbench.core.errors import UserError
from headbench.runners.commands.arguments import path, require_checkout
from headbench.runners.commands.screen import say

HELP = "certify how well C prototypes are spread in d dimensions; in two and three also draw them"


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("classes", type=int, nargs="?", help="number of classes C")
    parser.add_argument("dim", type=int, nargs="?", help="dimension d")
    parser.add_argument(
        "--method", default="separated", help="a method, or a file (default: separated); --compare names all"
    )
    parser.add_argument("--compare", action="store_true", help="certificates of all methods")
    parser.add_argument("--seed", type=int, default=0, help="prototype_seed, which draw (default: 0)")
    parser.add_argument(
        "--png", type=path, help="the picture (default: prototypes-CxD.png, with --compare or --save none)"
    )
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
    picture = arguments.png or _picture(arguments)
    for option, file in {"--save": arguments.save, "--png": picture}.items():
        if file and file.exists():
            raise UserError(f"{option}: {file} exists, and is not overwritten; name another file, or remove it")
    methods = list(certificates.METHODS) if arguments.compare else [arguments.method]
    pictures = dict[str, Any]()
    width, titles = max(map(len, ["method", *methods])), certificates.TITLES
    for method, points, found in certificates.certified(methods, arguments.classes, arguments.dim, arguments.seed):
        for row in [certificates.row(method, found)] if pictures else [titles, certificates.row(method, found)]:
            console.out(aligned(row, width, titles), highlight=False)
        pictures[f"{method}: max cosine {found.max_cosine:.4f}"] = points, certificates.nearest(points, found)
        if arguments.save:
            certificates.save(arguments.save, method, arguments.seed, points, found)
    console.print(certificates.bound(arguments.classes, arguments.dim), highlight=False)
    if arguments.save:
        say(console, f"written: {arguments.save}")
    if picture is not None:
        from headbench.results import store
        from headbench.results.figures import sphere
        from headbench.results.figures.base import encode

        store.write_bytes(picture, encode(sphere.prototypes(pictures), "png"))
        say(console, f"written: {picture}")
    return 0


def _picture(arguments: argparse.Namespace) -> Path | None:
    """Return the file of the picture where none is named, None for no picture."""
    if arguments.dim not in (2, 3) or arguments.compare or arguments.save:
        return None
    return Path(f"prototypes-{arguments.classes}x{arguments.dim}.png")


def aligned(row: Sequence[str], width: int, titles: Sequence[str]) -> str:
    """Return a row of a table that is printed as it comes: the first column of this width, numbers below titles."""
    widths = (max(len(title), len("-0.12345")) for title in titles[1:])
    numbers = (text.rjust(wide) for text, wide in zip(row[1:], widths, strict=True))
    return "  ".join([escape.plain(row[0]).ljust(width), *numbers])
