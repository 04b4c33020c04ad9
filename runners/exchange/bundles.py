"""Finished cells of a grid in one file: rows, predictions and what they were made with, under checksums.

A bundle is a zip archive of a folder of runs, without compression, so that it unfolds to no more than its size; the
same cells give the same bytes. ``manifest.json`` names every other file. ``docs/ways-out.md`` describes it.
"""

import hashlib
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from headbench.core.errors import DamagedError, NewerError, UserError, suggest
from headbench.core.version import git_commit, version
from headbench.results import grid_rows, schema, store
from headbench.results.ood import cell_files
from headbench.runners.grid.config import folder_name

MANIFEST, ROWS = "manifest.json", "results.csv"
# Of a member: what it holds, or the file that does.
Content = bytes | Path
# Of a cell's files; weights are the trainer's own, and may be many times as large as all others.
FILES = re.compile(r"result\.json|cell\.yaml|history\.csv|(predictions|geometry)\.npz|ood-[\w-]+\.json")
# Without these a cell cannot be scored again.
NEEDED = {"result.json", "cell.yaml", "predictions.npz"}
# Of every member of the archive.
EPOCH = (1980, 1, 1, 0, 0, 0)
# Damaged cells that a message names.
FEW = 5


class Member(BaseModel):
    """A file of a bundle."""

    model_config = ConfigDict(strict=True, extra="forbid")
    sha256: schema.Digest
    bytes: schema.Count


def _each_once(cells: list[str]) -> list[str]:
    """Return the cells; raise ValueError where one is there twice, which would count as another seed."""
    if len(set(cells)) < len(cells):
        raise ValueError("a cell is listed more than once")
    return cells


class Manifest(BaseModel):
    """``manifest.json``: what a bundle holds, and the code that made it; cells tell their own."""

    model_config = ConfigDict(strict=True)
    format: Literal["headbench bundle 1"]
    grid: schema.Name
    headbench: schema.Text
    git_commit: schema.Text
    protocols: list[schema.Text]
    commits: list[schema.Text]
    cells: Annotated[list[schema.Name], Field(min_length=1), AfterValidator(_each_once)]
    files: dict[schema.Name, Member]


def write(out: Path, grid: str, file: Path, heads: Iterable[str] = ()) -> Manifest:
    """Write the finished cells of a grid to a new file.

    Args:
        out: folder of the runs.
        grid: the grid's name.
        file: to write.
        heads: names or labels, by default of all heads.

    Raises:
        UserError: if the file is there, the grid's folder has another name than the grid, or no cell is done.
        DamagedError: naming the cells that are damaged; nothing is written then.
    """
    if file.exists():
        raise UserError(_there(file))
    folder = store.grid_folder(out, grid)
    plan = store.read_plan(folder)
    if plan["name"] != grid:
        raise UserError(f"publish: {folder} is the folder of grid '{plan['name']}' under another name; give it its own")
    done = _finished(out, _of_heads(plan["cells"], list(heads)))
    if not done:
        raise UserError(f"publish: no cell of grid '{grid}' in {out} is done")
    rows = grid_rows.stored(out, plan | {"cells": done})
    members = _members(out, grid, plan | {"cells": done}, rows)
    manifest = Manifest(
        format="headbench bundle 1",
        grid=folder_name(grid),
        headbench=version(),
        git_commit=git_commit(),
        protocols=sorted({cell["protocol"] for cell in done}),
        commits=sorted({*rows["git_commit"]}),
        cells=[cell["cell_id"] for cell in done],
        files={name: _told(content) for name, content in members.items()},
    )
    _write_archive(file, {MANIFEST: manifest.model_dump_json(indent=1).encode(), **members})
    return manifest


def _there(file: Path) -> str:
    return f"publish: {file} is there already, and is not overwritten; give another --to"


def _of_heads(cells: list[dict[str, Any]], heads: list[str]) -> list[dict[str, Any]]:
    known = {name for cell in cells for name in (cell["head"], cell["head_label"])}
    for head in heads:
        if head not in known:
            raise UserError(f"publish: no cell has head '{head}'; {suggest(head, known)}")
    return [cell for cell in cells if not heads or {cell["head"], cell["head_label"]} & {*heads}]


def _finished(out: Path, cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cells of a plan that are done; raise DamagedError if one of them is damaged."""
    done, damaged = list[dict[str, Any]](), list[str]()
    for cell in cells:
        folder = store.cell_folder(out, cell["cell_id"])
        try:
            result = None if cell["not_applicable"] else store.read_result(folder)
            if result is None:
                continue
            if missing := sorted(NEEDED - {"result.json"} - result["sha256"].keys()):
                raise DamagedError(f"{folder} is damaged (it has no {missing[0]})")
            store.verify(folder, result)
            store.read_description(folder)
            for path in cell_files.paths(folder):
                cell_files.read(folder, cell_files.key_of(path))
            (row, *_) = grid_rows.of_plan(out, {"name": "", "cells": [cell]}).to_dict("records")
            if row["status"] != "done":
                raise DamagedError(str(row["error"]))
        except (DamagedError, NewerError) as error:
            damaged.append(str(error))
        else:
            done.append(cell)
    if damaged:
        more = f", and {len(damaged) - FEW} more" if len(damaged) > FEW else ""
        raise DamagedError(f"publish: nothing is written, since {'; '.join(damaged[:FEW])}{more}")
    return done


def _members(out: Path, grid: str, plan: dict[str, Any], rows: pd.DataFrame) -> dict[str, Content]:
    """Return the files of a bundle but its manifest, by their names in it."""
    with tempfile.TemporaryDirectory() as folder:
        store.write_plan(Path(folder), plan)
        members: dict[str, Content] = {f"{grid}/grid.yaml": (Path(folder) / "grid.yaml").read_bytes()}
    members[f"{grid}/{ROWS}"] = grid_rows.files(rows)[ROWS]
    for cell in plan["cells"]:
        own = store.cell_folder(out, cell["cell_id"])
        named = sorted(path.name for path in own.iterdir() if FILES.fullmatch(path.name))
        members |= {f"{store.CELLS}/{own.name}/{name}": own / name for name in named}
    return members


def _told(content: Content) -> Member:
    read = _bytes(content)
    return Member(sha256=hashlib.sha256(read).hexdigest(), bytes=len(read))


def _bytes(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _write_archive(file: Path, members: dict[str, Content]) -> None:
    """Write a zip archive beside its place, and rename it when it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".") as folder:
        whole = Path(folder) / file.name
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                member = zipfile.ZipInfo(name, EPOCH)
                member.create_system, member.external_attr = 3, 0o644 << 16
                archive.writestr(member, _bytes(content))
        try:
            # A rename would replace what another process has written since.
            os.link(whole, file)
        except FileExistsError:
            raise UserError(_there(file)) from None
        except OSError:  # a file system without links
            whole.rename(file)
