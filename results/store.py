"""The store of cells: a folder per cell, written atomically. ``result.json`` exists if and only if the cell is done."""

import hashlib
import io
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SCHEMA = 2
# libyaml's, ten times as fast on the plan of a large grid, where PyYAML was built with it.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DamagedError(Exception):
    """A file of the store is not what was written; the message names it."""


class NewerError(Exception):
    """A file of the store was written by a newer harness."""


def cell_folder(out: Path, cell_id: str) -> Path:
    """Return the folder of a cell."""
    return out / "cells" / cell_id


def grid_folder(out: Path, grid: str) -> Path:
    """Return the folder of a grid's tables, figures and report."""
    return out / grid


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: a temporary file beside it, flushed to disk, then renamed over it; missing folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def write_text(path: Path, content: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, content.encode())


def write_yaml(path: Path, content: Any) -> None:
    """Write a YAML file atomically, keys in their order."""
    write_text(path, yaml.safe_dump(content, sort_keys=False, width=160))


def write_plan(folder: Path, content: dict[str, Any]) -> None:
    """Write ``grid.yaml``, with a last line that holds the SHA-256 of the others."""
    text = yaml.safe_dump(content, sort_keys=False, width=160)
    write_text(folder / "grid.yaml", f"{text}# sha256 {_sha256(text.encode())}\n")


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the contents of ``grid.yaml``.

    Raises:
        FileNotFoundError: if there is none.
        DamagedError: if it is not what was written.
    """
    content = (folder / "grid.yaml").read_bytes()
    text, _, last = content.rstrip(b"\n").rpartition(b"\n")
    body = text + b"\n"
    if last != f"# sha256 {_sha256(body)}".encode():
        raise DamagedError(f"{folder / 'grid.yaml'} is damaged; run the grid again to write it anew")
    plan: dict[str, Any] = yaml.load(body, LOADER)
    return plan


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed ``.npz`` atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def write_result(folder: Path, result: dict[str, Any], files: list[str]) -> None:
    """Write ``result.json``, the last file of a cell, with the SHA-256 of itself and of the cell's other files; NaN becomes null."""
    content = {"schema": SCHEMA} | _without_nan(result) | {"sha256": {name: _sha256((folder / name).read_bytes()) for name in files}}
    write_text(folder / "result.json", json.dumps(content | {"checksum": _checksum(content)}, indent=1, allow_nan=False))


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return a finished cell's ``result.json``, or None where the cell is not done.

    Raises:
        DamagedError: if it is not what was written.
        NewerError: if a newer harness wrote it.
    """
    path = folder / "result.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        checksum = content.pop("checksum")
        sound = checksum == _checksum(content)
    except (ValueError, KeyError, AttributeError, TypeError):
        sound = False
    if not sound:
        raise DamagedError(f"{path} is damaged")
    if content["schema"] > SCHEMA:
        raise NewerError(f"{path} has schema {content['schema']}, written by a newer headbench; this one knows {SCHEMA}")
    result: dict[str, Any] = content
    return _from_schema_1(result) if result["schema"] == 1 else result


def _from_schema_1(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result of the first schema as one of the second: it named no classes and always had 15 bins; intervals and neural collapse stay unknown."""
    selections = {name: measured | {"calibration_bins": 15} for name, measured in result["selections"].items()}
    return result | {"selections": selections, "class_names": [str(number) for number in range(result["facts"]["num_classes"])]}


def read_file(folder: Path, name: str) -> io.BytesIO:
    """Return the content of one of a finished cell's files.

    Raises:
        DamagedError: if the file is missing or not what was written.
    """
    path, result = folder / name, read_result(folder)
    content = path.read_bytes() if path.is_file() else b""
    if result is None or _sha256(content) != result["sha256"].get(name):
        raise DamagedError(f"{path} is damaged or missing")
    return io.BytesIO(content)


def read_arrays(folder: Path, name: str, *arrays: str) -> dict[str, np.ndarray]:
    """Return arrays of a finished cell's ``.npz`` file, all of them where none is named; raises as :func:`read_file` does."""
    with np.load(read_file(folder, name)) as stored:
        return {key: stored[key] for key in arrays or stored}


def read_predictions(folder: Path, *arrays: str) -> dict[str, np.ndarray]:
    """Return arrays of a finished cell's ``predictions.npz``, as :func:`read_arrays` does."""
    return read_arrays(folder, "predictions.npz", *arrays)


def verify(folder: Path, result: dict[str, Any]) -> None:
    """Compare all files of a finished cell with what was written.

    Raises:
        DamagedError: naming the first that differs.
    """
    for name, digest in result["sha256"].items():
        path = folder / name
        if not path.is_file() or _sha256(path.read_bytes()) != digest:
            raise DamagedError(f"{path} is damaged or missing")


def first_line(text: str) -> str:
    """Return the first line of an ``error.txt``: the error in one line, before its traceback."""
    lines = text.strip().splitlines()
    return lines[0] if lines else "unknown error"


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that it is neither used nor lost; return its new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return path.rename(aside)


def _checksum(content: dict[str, Any]) -> str:
    return _sha256(json.dumps(content, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_error(folder: Path) -> str | None:
    """Return a failed cell's ``error.txt``, or None where it did not fail."""
    path = folder / "error.txt"
    return path.read_text(errors="replace") if path.is_file() else None


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
