"""The user's mistakes, said in one line."""

import difflib
import sys
from collections.abc import Iterable

from pydantic import BaseModel, ValidationError

from core import escape


class UserError(Exception):
    """A mistake in what the user asked for; its message is one line that names the value, the place and a valid choice."""


class StoppedError(Exception):
    """A run could not go on, by no mistake of the user; its message is one line that says why, and where it stopped."""


def note(message: str) -> None:
    """Tell the user, in one line on stderr, of something that does not stop the run."""
    print(f"note: {escape.plain(message)}", file=sys.stderr)


def suggest(value: str, choices: Iterable[str]) -> str:
    """Return ``"did you mean 'x'? known: x, y, z"`` for a misspelt name, nearest choice first (difflib's ratio)."""
    known = sorted(choices)
    near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}known: {', '.join(known)}"


def one_line(error: ValidationError, model: type[BaseModel], place: str) -> str:
    """Return the first problem of a validation error as one line.

    Args:
        error: what pydantic raised.
        model: the model that was validated, for the names of its keys.
        place: where the value stands (a file, an option), first in the line.
    """
    problem = error.errors()[0]
    path = [str(part) for part in problem["loc"]]
    where = f"{place}: {'.'.join(path)}" if path else place
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key '{'.'.join(path)}'; {suggest(path[-1], _keys(model, path[:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: required, but missing"
    hint = ", which in quotes would be one" if problem["type"] == "string_type" and isinstance(problem["input"], bool | int | float) else ""
    return f"{where}: {problem['msg'].removeprefix('Value error, ')} (got {problem['input']!r}{hint})"


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return list(model.model_fields)
