"""Folders that a user, the environment or the home names."""

import os
from pathlib import Path

from headbench.core.errors import UserError

# Below the home: of data sets and computed prototypes, where nothing else is named.
DEFAULT = "~/.cache/headbench"


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` as the home.

    Raises:
        UserError: if there is no home.
    """
    if not str(path).startswith("~"):
        return Path(path)
    try:
        found = Path(path).expanduser()
    except RuntimeError:
        found = Path()
    # An empty $HOME would make it a folder of the root.
    if not found.is_absolute() or os.environ.get("HOME") == "":
        raise UserError(
            f"there is no home folder for {path}; name a folder with --data (or $HEADBENCH_DATA) and in "
            f"$HEADBENCH_CACHE"
        )
    return found


def from_environment(variable: str) -> Path | None:
    """Return the folder that an environment variable names, or None where it is empty or unset.

    Raises:
        UserError: if it begins with ``~`` and there is no home.
    """
    named = os.environ.get(variable, "").strip()
    return expanded(named) if named else None


def of_computed() -> Path:
    """Return the folder of what was computed once: ``$HEADBENCH_CACHE``, else ``~/.cache/headbench``.

    Raises:
        UserError: if there is no home.
    """
    return from_environment("HEADBENCH_CACHE") or expanded(DEFAULT)


def stamp(path: Path) -> tuple[int, int, int]:
    """Return what differs once a file has changed, or another one stands in its place: time, size and number."""
    about = path.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino
