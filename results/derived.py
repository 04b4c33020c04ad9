"""Files derived from a grid's cells: each is made and written, or becomes one line.

None is written outside the grid's folder. ``files.json`` lists what a report wrote, so that the next one leaves its own
files alone and nobody else's are touched.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from headbench.core import escape
from headbench.core.errors import DamagedError, is_full, typed_reason
from headbench.results import store

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
LIST = "files.json"
# Files that are written at the same time.
AT_ONCE = 8


def tried(what: str, make: Callable[[], T], lines: list[str]) -> T | None:
    """Return what a function makes; where it cannot, add a line that says so and return None."""
    try:
        return make()
    except Exception as error:
        if is_full(error):  # it stops the command, which then says so
            raise
        lines.append(f"{what}: left out, {typed_reason(error)}")
        return None


def write(folder: Path, files: dict[str, bytes]) -> list[str]:
    """Write files by their names within a folder, atomically.

    Return a line for each reason for which some could not be written.

    Raises:
        OSError: if the file system is full.
    """
    # Each waits for the disk.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        reasons = list(pool.map(partial(_write, folder), files, files.values()))
    refused: dict[str, list[str]] = {}
    for name, reason in zip(files, reasons, strict=True):
        if reason:
            refused.setdefault(reason, []).append(name)
    return [f"{folder / names[0]}{_more(names)} cannot be written: {reason}" for reason, names in refused.items()]


def _write(folder: Path, name: str, content: bytes) -> str:
    """Write a file; return why it could not be, nothing where it was."""
    path = folder / name
    try:
        if not path.parent.resolve().is_relative_to(folder.resolve()):
            return f"{path.parent} leads out of {folder}"
        store.write_bytes(path, content)
    except OSError as error:
        if is_full(error):
            raise
        return error.strerror or str(error)
    return ""


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more files" if len(names) > 1 else ""


@dataclass(frozen=True)
class Written:
    """What a report wrote.

    Attributes:
        files: SHA-256 of each file by its name within the folder.
        names: what each name of tables and figures stands for, see :class:`headbench.results.tables.names.Names`.
    """

    files: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def written(folder: Path) -> Written:
    """Return what the report before wrote, nothing where that is not known."""
    try:
        found = store.read_checked(folder / LIST)
        return TypeAdapter(Written).validate_python(found)
    except (OSError, DamagedError, ValidationError):
        return Written()


def settle(folder: Path, before: Written, files: dict[str, bytes], names: dict[str, str]) -> None:
    """Remove what only the report before wrote, as it wrote it, and list what this one has written.

    What somebody else has put there, or has changed since, stays.

    Args:
        folder: of the grid.
        before: what the report before wrote.
        files: content of each file of this report by its name within the folder.
        names: of its tables and figures.
    """
    for name, digest in before.files.items():
        path = folder / name
        if name not in files and _inside(path, folder) and _digest(path.read_bytes()) == digest:
            path.unlink()
    listed = {name: _digest(content) for name, content in files.items()}
    if before != Written(listed, names):
        store.write_checked(folder / LIST, {"files": listed, "names": names})


def _inside(path: Path, folder: Path) -> bool:
    return path.is_file() and path.parent.resolve().is_relative_to(folder.resolve())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def as_csv(frame: "pd.DataFrame") -> str:
    """Return a frame as CSV, its texts escaped for spreadsheets."""
    return with_texts(frame, escape.csv).to_csv(index=False)


def with_texts(frame: "pd.DataFrame", change: Callable[[str], str]) -> "pd.DataFrame":
    """Return a frame with its texts, also those of its titles, changed by a function; numbers stay."""
    change = cache(change)  # a column says the same in most rows
    texts = {
        str(name): frame[name].map(lambda value: change(value) if isinstance(value, str) else value)
        for name in frame.select_dtypes(exclude="number")
    }
    return frame.assign(**texts).rename(columns=change)
