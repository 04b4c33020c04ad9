"""What is given from Python, in the types that the harness works with."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from headbench.core.errors import UserError
from headbench.core.folders import expanded


def said(value: Any) -> str:
    """Return a value as a message has it, in one line: itself if it is short by its type, else its type."""
    return repr(value) if value is None or isinstance(value, bool | int | float | str) else f"a {type(value).__name__}"


def path(place: str, value: Any) -> Path:
    """Return a path that is a text or a path, with ``~`` as the home.

    Args:
        place: caller and argument, first in a message.
        value: that was given.

    Raises:
        UserError: if it is neither, or there is no home.
    """
    if not isinstance(value, str | os.PathLike):
        raise UserError(f"{place}: {said(value)} is no path; give a text or a Path")
    return expanded(os.fspath(value))


def folder(place: str, value: Any) -> Path:
    """Return the path of a folder, see :func:`path`.

    Raises:
        UserError: if it is no path, or a file or below one.
    """
    found = path(place, value)
    there = next((one for one in (found, *found.parents) if one.exists()), None)
    if there is not None and not there.is_dir():
        raise UserError(f"{place}: {there} is a file; name a folder, which need not exist yet")
    return found


def by_class(place: str, value: Any) -> Any:
    """Return numbers by class in the order of the classes; those with an index of their own, as pandas counts them, by
    it.

    Raises:
        UserError: for an index that is not 0 to C - 1.
    """
    index = getattr(value, "index", None)
    if index is None or callable(index):  # as the method of a list
        return value
    if getattr(value, "ndim", 1) != 1 or set(index) != set(range(len(value))):
        raise UserError(f"{place}: the index is {list(index)[:10]}, and not the classes 0 to {len(value) - 1}")
    return value.sort_index().tolist()


def check_number(place: str, value: Any, least: int, most: int, *, whole: bool) -> None:
    """Raise UserError for what is no number, or one below the least or above the most."""
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise UserError(f"{place}: {said(value)} is not a {'whole ' if whole else ''}number")
    if not value >= least:
        raise UserError(f"{place}: {value} is not at least {least}")
    if value > most:
        raise UserError(f"{place}: {value} is more than {most:,}")


def plain(value: Any) -> Any:
    """Return a value in JSON's types: numpy's numbers and arrays as Python's, other iterables as lists, of anything
    else its text.
    """
    return json.loads(json.dumps(value, default=_plainer))


def words(changes: Mapping[str, Any]) -> list[str]:
    """Return changes as the command line has them: ``key=value``, the value as JSON, which is YAML too."""
    return [f"{key}={json.dumps(plain(value))}" for key, value in changes.items()]


def _plainer(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        # The order of texts in a set is another one in each process, and that of a list is part of a grid's name.
        return sorted(value, key=lambda one: (one if isinstance(one, int | float) else math.inf, str(one)))
    return list(value) if isinstance(value, Iterable) and not isinstance(value, bytes) else str(value)
