"""The store of cells: a folder per cell, written atomically. ``result.json`` exists if and only if the cell is done."""

import hashlib
import io
import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel

from headbench.core import arrays
from headbench.core.arrays import BadArrayError
from headbench.core.errors import DamagedError, NewerError, note, reason
from headbench.results import cell_lines, former, schema
from headbench.results.cell_lines import LOADER, WIDTH

SCHEMA = 3
CELLS = "cells"
WEIGHTS = "weights.pt"
# Of a plan, a result or a description of a cell, in bytes: more is not read.
LARGEST = 2**27
# Behind a grid's name in that of the grid with the values of a search.
TUNED = "+tuned"
Ending = Literal["failed", "pruned"]
# The files that say how a cell ended without a result.
ENDINGS: dict[Ending, str] = {"failed": "error.txt", "pruned": "pruned.txt"}
# The name of a cell's file while it is being written.
TEMPORARY = re.compile(r"\..+\.(json|yaml|npz|pt|csv|txt)\.[a-z0-9_]+")
# Of an error that is shown, in characters.
LONGEST_ERROR = 2000


def cell_folder(out: Path, cell_id: str) -> Path:
    """Return the folder of a cell."""
    return out / CELLS / cell_id


def begun(out: Path) -> set[str]:
    """Return the cells that have a folder."""
    try:
        with os.scandir(out / CELLS) as entries:
            return {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def grid_folder(out: Path, grid: str) -> Path:
    """Return the folder of a grid's tables, figures and report."""
    return out / grid


def grids(out: Path) -> list[str]:
    """Return the names of the grids that have a plan in a folder of runs, sorted."""
    return sorted(path.parent.name for path in out.glob("*/grid.yaml"))


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file atomically, with these rights: a temporary file beside it, flushed to disk, then renamed over it.

    Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        # A signal may come between the renaming and here.
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a text file atomically, with these rights."""
    write_bytes(path, content.encode(), mode)


def write_yaml(path: Path, content: Any) -> None:
    """Write a YAML file atomically, keys in their order."""
    write_text(path, yaml.safe_dump(content, sort_keys=False, width=WIDTH))


def write_plan(folder: Path, content: dict[str, Any]) -> None:
    """Write ``grid.yaml``, with a last line that holds the SHA-256 of the others, unless it is there: a finished grid
    on a read-only disk can be shown.
    """
    rest, cells = {key: value for key, value in content.items() if key != "cells"}, content["cells"]
    text = yaml.safe_dump(rest, sort_keys=False, width=WIDTH)
    text += f"cells:\n{cell_lines.dumped(cells)}" if cells else "cells: []\n"
    path, whole = folder / "grid.yaml", f"{text}# sha256 {_sha256(text.encode())}\n".encode()
    if not path.is_file() or path.read_bytes() != whole:
        write_bytes(path, whole)


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the contents of ``grid.yaml``, see :class:`headbench.results.schema.Plan`.

    Raises:
        FileNotFoundError: if there is none.
        DamagedError: if it is not what was written, or no plan of a grid.
    """
    path = folder / "grid.yaml"
    content = _content(path)
    text, _, last = content.rstrip(b"\n").rpartition(b"\n")
    body = text + b"\n"
    if last != f"# sha256 {_sha256(body)}".encode():
        raise DamagedError(f"{path} is damaged; run the grid again to write it anew")
    plan = _plan(path, body)
    check(path, schema.Plan, plan, "; run the grid again to write it anew")
    found: dict[str, Any] = plan | {"cells": [former.completed(cell) for cell in plan["cells"]]}
    return found


def read_or_set_aside(folder: Path) -> dict[str, Any] | None:
    """Return the contents of ``grid.yaml`` as :func:`read_plan` does, None where there is none; a damaged one is set
    aside and named, so that what is written in its place loses nothing.
    """
    try:
        return read_plan(folder)
    except FileNotFoundError:
        return None
    except DamagedError:
        path = folder / "grid.yaml"
        note(
            f"{path} is damaged and kept as {set_aside(path).name}; run the whole grid, and import again what was "
            "imported into it, to list all of its cells: nothing is trained anew"
        )
        return None


def _plan(path: Path, body: bytes) -> Any:
    rest, listed, cells = body.partition(b"\ncells:\n")
    try:
        return read_yaml(path, rest) | {"cells": cell_lines.loaded(cells.decode())} if listed else read_yaml(path, body)
    except (ValueError, TypeError):
        return read_yaml(path, body)


def _content(path: Path) -> bytes:
    if path.stat().st_size > LARGEST:
        raise DamagedError(f"{path} is damaged: it is larger than {LARGEST:,} bytes")
    return path.read_bytes()


def check(path: Path, model: type[BaseModel], content: Any, more: str = "") -> None:
    """Raise DamagedError where the content of a file does not fit, with ``more`` behind what is wrong."""
    if wrong := schema.problem(model, content):
        raise DamagedError(f"{path} is damaged ({wrong}){more}")


def read_yaml(path: Path, content: bytes) -> Any:
    """Return what a YAML file holds; raise DamagedError if it holds something else."""
    try:
        value = yaml.load(content, LOADER)
        size = _unfolded(value, {})
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged ({reason(error)})") from None
    if size > LARGEST:
        raise DamagedError(f"{path} is damaged (its aliases stand for more than {LARGEST:,} values, or for themselves)")
    return value


def _unfolded(value: Any, known: dict[int, float]) -> float:
    """Return how many values there are once every alias is written out; infinite for one within itself."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf
        known[id(value)] = 1 + sum(
            _unfolded(own, known) for own in (value.values() if isinstance(value, dict) else value)
        )
    return known[id(value)]


def val_logits(selection: str) -> str:
    """Return the name that the scores of a selection's validation images have in ``predictions.npz``."""
    return "val_logits" if selection == "last" else f"{selection}_val_logits"


def write_arrays(path: Path, arrays: dict[str, np.ndarray], *, compressed: bool = False) -> None:
    """Write an ``.npz`` atomically.

    Scores of many classes are about a tenth smaller if compressed, and take fifty times as long to write.
    """
    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def check_result(result: dict[str, Any]) -> None:
    """Raise ValueError where :func:`read_result` would not accept what is to be written."""
    wrong = schema.problem(schema.of_result(result), _without_nan(result) | {"sha256": {}})
    if wrong is not None:
        raise ValueError(f"what was measured is no result: {wrong}")


def write_result(folder: Path, result: dict[str, Any], files: list[str]) -> None:
    """Write ``result.json``, the last file of a cell, with the SHA-256 of itself and of the cell's other files.

    NaN becomes null.
    """
    files_sha256 = {name: _sha256((folder / name).read_bytes()) for name in files}
    write_checked(folder / "result.json", {"schema": SCHEMA} | result | {"sha256": files_sha256})


def write_checked(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file with the SHA-256 of its content; NaN becomes null."""
    content = _without_nan(content)
    write_text(path, json.dumps(content | {"checksum": _checksum(content)}, indent=1, allow_nan=False))


def read_checked(path: Path) -> dict[str, Any]:
    """Return the content of such a file.

    Raises:
        DamagedError: if it is not what was written.
    """
    try:
        content: dict[str, Any] = json.loads(_content(path))
        sound = content.pop("checksum") == _checksum(content)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise DamagedError(f"{path} is damaged")
    return content


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return a finished cell's ``result.json``, see :class:`headbench.results.schema.Result`, that of a trial of a
    search as :class:`headbench.results.schema.TrialResult`, or None where the cell is not done.

    Raises:
        DamagedError: if it is not what was written, no result, or that of another cell.
        NewerError: if a newer harness wrote it.
    """
    result, path = _read_sound(folder), folder / "result.json"
    if result is None:
        return None
    wrong = schema.problem(schema.Facts, result.get("facts")) if result["schema"] == 1 else None
    if wrong is None:
        result = former.of_schema_1(result) if result["schema"] == 1 else result
        wrong = schema.problem(schema.of_result(result), result)
    if wrong is None and folder.parent.name == CELLS and result["cell_id"] != folder.name:
        wrong = "it is the result of another cell"
    if wrong is not None:
        raise DamagedError(f"{path} is damaged ({wrong})")
    if "purpose" in result:
        return result
    return result | {
        "selections": {
            name: former.debiased(measured, result["native_scale"]) for name, measured in result["selections"].items()
        }
    }


def _read_sound(folder: Path) -> dict[str, Any] | None:
    """Return the content of ``result.json``, whose checksum and schema number are right, or None where there is no such
    file.
    """
    path = folder / "result.json"
    if not path.is_file():
        if path.exists() or path.is_symlink():
            raise DamagedError(f"{path} is damaged (no file)")
        return None
    content = read_checked(path)
    if type(content.get("schema")) is not int or content["schema"] < 1:
        raise DamagedError(f"{path} is damaged")
    if content["schema"] > SCHEMA:
        raise NewerError(
            f"{path} has schema {content['schema']}, written by a newer headbench; this one knows {SCHEMA}: update "
            f"it, or give another --out"
        )
    return content


def read_file(folder: Path, name: str) -> io.BytesIO:
    """Return the content of one of a finished cell's files.

    Raises:
        DamagedError: if the file is missing or not what was written.
        NewerError: if a newer harness wrote the cell.
    """
    path, result = folder / name, _read_sound(folder)
    digests = None if result is None else result.get("sha256")
    content = path.read_bytes() if path.is_file() else b""
    if not isinstance(digests, dict) or _sha256(content) != digests.get(name):
        raise DamagedError(f"{path} is damaged or missing")
    return io.BytesIO(content)


def read_arrays(folder: Path, name: str, *names: str) -> dict[str, np.ndarray]:
    """Return arrays of a finished cell's ``.npz`` file, all of them where none is named.

    Raises as :func:`read_file` does.
    """
    try:
        return arrays.read_npz(read_file(folder, name), names)
    except BadArrayError as error:
        raise DamagedError(f"{folder / name} is damaged ({error})") from None


def read_predictions(folder: Path, *names: str) -> dict[str, np.ndarray]:
    """Return arrays of a finished cell's ``predictions.npz``, as :func:`read_arrays` does: scores (N, C), and labels
    (N,) of C classes.

    Raises:
        DamagedError: also if they are not of these shapes and finite.
    """
    found = read_arrays(folder, "predictions.npz", *names)
    for part in ("test", "val"):
        scores, labels = (
            [array for name, array in found.items() if name.endswith(f"{part}_{kind}")] for kind in ("logits", "labels")
        )
        if not _agree(scores, labels):
            raise DamagedError(f"{folder / 'predictions.npz'} is damaged (no scores and labels)")
    return found


def _agree(scores: list[np.ndarray], labels: list[np.ndarray]) -> bool:
    """Say whether arrays are finite scores (N, C) and labels (N,) of these C classes."""
    kinds = ((scores, 2, "f"), (labels, 1, "iu"))
    if not all(array.ndim == dims and array.dtype.kind in kind for own, dims, kind in kinds for array in own):
        return False
    classes = {array.shape[1] for array in scores}
    if len({len(array) for array in (*scores, *labels)}) > 1 or len(classes) > 1 or 0 in classes:
        return False
    return all(np.isfinite(array).all() for array in scores) and all(
        ((array >= 0) & (array < max(classes, default=math.inf))).all() for array in labels
    )


def read_description(folder: Path) -> dict[str, Any]:
    """Return a finished cell's ``cell.yaml``: its configuration; raises as :func:`read_file` does."""
    found = read_yaml(folder / "cell.yaml", read_file(folder, "cell.yaml").getvalue())
    check(folder / "cell.yaml", schema.Description, found)
    described: dict[str, Any] = found
    return described


def verify(folder: Path, result: dict[str, Any]) -> None:
    """Compare all files of a finished cell with what was written; its weights may be missing, as nothing that is shown
    needs them.

    Raises:
        DamagedError: naming the first that differs.
    """
    for name, digest in result["sha256"].items():
        path = folder / name
        if name == WEIGHTS and not path.exists():
            continue
        if not path.is_file() or _sha256(path.read_bytes()) != digest:
            raise DamagedError(f"{path} is damaged or missing")


def _first_line(text: str) -> str:
    """Return the first line of an ending: why in one line, before its traceback."""
    lines = text.strip().splitlines()
    return lines[0][:LONGEST_ERROR] if lines else "unknown error"


def set_aside(path: Path, why: str = "damaged") -> Path:
    """Rename a file that is damaged, or what ``why`` says, so that it is neither used nor lost; return its new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{why}-{number}")).exists():
        number += 1
    return path.rename(aside)


def _checksum(content: dict[str, Any]) -> str:
    return _sha256(json.dumps(content, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_ending(folder: Path) -> tuple[Ending, str] | None:
    """Return how a cell without a result has ended, ``failed`` or ``pruned``, and the line that says why; None where it
    has not.
    """
    for ending, name in ENDINGS.items():
        path = folder / name
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                return ending, _first_line(file.read(LONGEST_ERROR * 100))
    return None


def write_ending(folder: Path, ending: Ending, message: str, trace: str = "") -> None:
    """Write why a cell has ended without a result, in one line, and the traceback of what led to it."""
    write_text(folder / ENDINGS[ending], f"{message}\n\n{trace}" if trace else f"{message}\n")


def clear_endings(folder: Path) -> None:
    """Forget that a cell has ended without a result."""
    for name in ENDINGS.values():
        (folder / name).unlink(missing_ok=True)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
