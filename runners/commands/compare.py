"""``bench.py compare``: two grids beside each other."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from headbench.core import escape
from headbench.core.errors import UserError
from headbench.runners.commands.arguments import add_json, add_out, path, require_grid
from headbench.runners.commands.screen import say, say_json, show_rows

if TYPE_CHECKING:
    from headbench.results.tables.versus import Side, Versus

HELP = "compare two grids, of two folders or of one: rows in common, differences with verdicts, what only one has"
# Rows that only one grid has, which are named one by one.
MOST = 10


def add(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    for name in ("first", "second"):
        parser.add_argument(name, help="a folder of results, a grid's folder in it, or the name of a grid in --out")
    parser.add_argument("--grid", help="which grid of the two folders, where they have several")
    add_out(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print what two grids have in common, how they differ, and what only one of them has."""
    from headbench.results import grid_rows
    from headbench.results.answers import Answers
    from headbench.results.tables import versus

    places = [_place(named, arguments.grid, arguments.out) for named in (arguments.first, arguments.second)]
    if places[0][1] == places[1][1] and places[0][0].resolve() == places[1][0].resolve():
        raise UserError(f"compare: both are grid '{places[0][1]}' in {places[0][0]}")
    same_folder = places[0][0] == places[1][0]
    sides = [
        versus.Side(grid if same_folder else str(out), grid_rows.load(out, grid), Answers(out)) for out, grid in places
    ]
    for (out, grid), side in zip(places, sides, strict=True):
        if side.done.empty:
            raise UserError(f"compare: no cell of grid '{grid}' in {out} is done")
    found = versus.compare(sides[0], sides[1])
    if arguments.json:
        say_json(console, _told(sides, found))
        return 0
    for place, side, differing, only in zip(("first", "second"), sides, found.differing, found.only, strict=True):
        named = ", ".join(differing)
        say(console, f"{place}: {side.name}, {len(side.done)} finished cells{f', {named}' if named else ''}")
        for line in side.left_out:
            say(console, f"left out of {place}: {line}")
        if only:
            more = f" and {len(only) - MOST} more" if len(only) > MOST else ""
            say(console, f"only in {place}: {'; '.join(only[:MOST])}{more}")
    for line in found.unpaired:
        say(console, f"not compared: {line}")
    if found.table is None:
        say(console, "no rows in common; different heads are compared within one grid, or where each grid has one head")
        return 0
    console.print(escape.terminal(found.table.caption))
    rows = found.table.cells.reset_index().astype(str)
    show_rows([str(title) for title in rows], rows.to_numpy().tolist(), console)
    for line in found.open:
        say(console, f"not judged: {line}")
    say(console, f"moved: {'; '.join(found.moved) or 'nothing that is more than chance'}")
    return 0


def _told(sides: "list[Side]", found: "Versus") -> dict[str, Any]:
    """Return a comparison for scripts: of each side what it is and what it alone has, and the rows in common."""
    told = {
        place: {
            "name": side.name,
            "cells": len(side.done),
            "differing": differing,
            "only": only,
            "left_out": side.left_out,
        }
        for place, side, differing, only in zip(("first", "second"), sides, found.differing, found.only, strict=True)
    }
    # As JSON, in which what is not known is null.
    rows = [] if found.table is None else json.loads(found.table.tidy.to_json(orient="records"))
    return {**told, "rows": rows, "moved": found.moved, "not_judged": found.open, "not_compared": found.unpaired}


def _place(named: str, grid: str | None, out: Path) -> tuple[Path, str]:
    """Return the folder of runs and the name of the grid that an argument means.

    Raises:
        UserError: if there is no such grid, or there are several.
    """
    from headbench.results import store

    folder = path(named)
    if (folder / "grid.yaml").is_file():
        # "." and ".." have no name of their own.
        folder = folder.resolve() if folder.name in {"", ".."} else folder
        return folder.parent, folder.name
    grids = store.grids(folder)
    if not grids:
        if folder.name != named or (folder.exists() and not (out / named / "grid.yaml").is_file()):
            more = f"; 'bench.py merge {named} --into DIR' makes a folder of it" if folder.suffix == ".zip" else ""
            raise UserError(f"compare: there are no results in {folder}{more}")
        require_grid(out, named)
        return out, named
    if grid is not None:
        require_grid(folder, grid)
        return folder, grid
    if len(grids) > 1:
        raise UserError(f"compare: {folder} has several grids, {', '.join(grids)}; name one with --grid")
    return folder, grids[0]
