"""The store of cells: a folder per cell, written atomically. ``result.json`` exists if and only if the cell is done."""

import io
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SCHEMA = 1


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


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed ``.npz`` atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def write_result(folder: Path, result: dict[str, Any]) -> None:
    """Write ``result.json``, the last file of a cell; NaN becomes null."""
    write_text(folder / "result.json", json.dumps({"schema": SCHEMA} | _without_nan(result), indent=1, allow_nan=False))


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return a finished cell's ``result.json``, or None where the cell is not done."""
    path = folder / "result.json"
    return json.loads(path.read_text()) if path.is_file() else None


def read_error(folder: Path) -> str | None:
    """Return a failed cell's ``error.txt``, or None where it did not fail."""
    path = folder / "error.txt"
    return path.read_text() if path.is_file() else None


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
