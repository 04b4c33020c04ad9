"""``bench.py publish``: the finished cells of a grid in one file, or the check of such a file."""

import argparse
import shlex
from pathlib import Path

from rich.console import Console

from headbench.runners.commands.arguments import add_data, add_grid, add_out, add_words, grid_name, path, require_grid
from headbench.runners.commands.screen import say

HELP = "put rows and predictions of a grid's finished cells in one file with checksums, or check such a file"
NOT_CHECKED = (
    "not checked: health, scores on other data sets, time, memory and compute, and whether the cells were trained as "
    "they say"
)


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_grid(parser)
    add_out(parser)
    parser.add_argument(
        "--to", dest="file", type=path, metavar="FILE.zip", help="file to write, which must not be there"
    )
    add_words(parser, "--head", "NAME", "only the cells of these heads")
    parser.add_argument(
        "--check", type=path, metavar="FILE.zip", help="check a bundle instead, and score it again from its predictions"
    )
    add_data(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write a bundle, or check one; return 1 if something of it is not as it says."""
    from headbench.core.errors import UserError

    if (arguments.file is None) == (arguments.check is None):
        raise UserError("publish: give --to FILE.zip to write a bundle, or --check FILE.zip to check one")
    if arguments.check is not None:
        return _check(arguments.check, arguments.data, console)
    from headbench.runners.exchange import bundles

    grid = grid_name(arguments.grid)
    require_grid(arguments.out, grid)
    if arguments.file.suffix != ".zip":
        raise UserError(f"--to: '{arguments.file}' does not end in .zip")
    manifest = bundles.write(arguments.out, grid, arguments.file, arguments.head)
    size = sum(member.bytes for member in manifest.files.values())
    say(console, f"published: {arguments.file}, {len(manifest.cells)} cells of {grid}, {size / 1e6:.1f} MB")
    say(console, f"check: bench.py publish --check {shlex.quote(str(arguments.file))}")
    return 0


def _check(file: Path, data: Path | None, console: Console) -> int:
    from headbench.runners.exchange import checking

    found = checking.check(file, data)
    told = found.manifest
    say(console, f"bundle: {len(told.cells)} cells of {told.grid}, protocol {', '.join(told.protocols)}")
    say(
        console,
        f"made by: headbench {told.headbench}, commit {told.git_commit}; cells of commit {', '.join(told.commits)}",
    )
    say(console, f"re-scored: {found.compared} metrics from the predictions of {len(told.cells)} cells")
    for label, source in found.labels.items():
        beside = (
            f"those of {source}"
            if source
            else "compared with nothing, as the data set is not at hand (--data), or has a path of its own"
        )
        say(console, f"labels of {label}: {beside}")
    if None in found.labels.values():
        say(console, "groups of classes: not checked there, since the data set tells their training images")
    if found.imported:
        say(console, "groups of classes of imported cells: not checked, since their trainer tells the training images")
    say(console, NOT_CHECKED)
    for line in found.wrong:
        say(console, f"wrong: {line}")
    say(console, f"{file}: {f'{len(found.wrong)} things are wrong' if found.wrong else 'sound'}")
    return 1 if found.wrong else 0
