"""Files derived from a grid's cells: each is made and written, or becomes one line.

None is written outside the grid's folder.
"""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from headbench.results import store

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
# A file system that is full stops the command, which then says so.
FULL = (errno.ENOSPC, errno.EDQUOT)


def tried(what: str, make: Callable[[], T], lines: list[str]) -> T | None:
    """Return what a function makes; where it cannot, add a line that says so and return None."""
    try:
        return make()
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        lines.append(f"{what}: left out, {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return None


def write(folder: Path, files: dict[str, bytes]) -> list[str]:
    """Write files by their names within a folder, atomically.

    Return a line for each reason for which some could not be written.

    Raises:
        OSError: if the file system is full.
    """
    refused: dict[str, list[str]] = {}
    for name, content in files.items():
        path = folder / name
        try:
            if not path.parent.resolve().is_relative_to(folder.resolve()):
                raise OSError(f"{path.parent} leads out of {folder}")
            store.write_bytes(path, content)
        except OSError as error:
            if error.errno in FULL:
                raise
            refused.setdefault(error.strerror or str(error), []).append(name)
    return [f"{folder / names[0]}{_more(names)} cannot be written: {reason}" for reason, names in refused.items()]


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more files" if len(names) > 1 else ""


def with_texts(frame: "pd.DataFrame", change: Callable[[str], str]) -> "pd.DataFrame":
    """Return a frame with its texts, also those of its titles, changed by a function; numbers stay."""
    texts = {
        str(name): frame[name].map(lambda value: change(value) if isinstance(value, str) else value)
        for name in frame.select_dtypes(exclude="number")
    }
    return frame.assign(**texts).rename(columns=change)
