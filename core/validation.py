"""What pydantic finds wrong, said in one line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from headbench.core.errors import UserError, near, suggest

USUAL = "Input should be "
# What pydantic calls a dictionary, by the types of its problems.
MAPPINGS = ("dict_type", "model_type", "model_attributes_type")


class Strict(BaseModel):
    """A frozen model in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@contextmanager
def fitting(model: type[BaseModel], place: str) -> Iterator[None]:
    """Raise UserError for what does not fit a model, see :func:`one_line`."""
    try:
        yield
    except ValidationError as error:
        raise UserError(one_line(error, model, place)) from None


def one_line(error: ValidationError, model: type[BaseModel], place: str) -> str:
    """Return the first problem of a validation error as one line.

    Args:
        error: what pydantic raised.
        model: the model that was validated, for the names of its keys.
        place: where the value stands (a file, an option), first in the line.
    """
    problem, *others = _alternatives(error)
    path = [str(part) for part in problem["loc"]]
    where = f"{place}: {'.'.join(path)}" if path else place
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key '{'.'.join(path)}'; {suggest(path[-1], _keys(model, path[:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: required, but missing"
    hint = (
        ", which in quotes would be one"
        if problem["type"] == "string_type" and isinstance(problem["input"], bool | int | float)
        else ""
    )
    first = f"{USUAL}a mapping, as {{key: value}}" if problem["type"] in MAPPINGS else problem["msg"]
    said = [first.removeprefix("Value error, "), *(own["msg"].removeprefix(USUAL) for own in others)]
    return f"{where}: {', or '.join(said)} (got {problem['input']!r}{hint}){_nearest(problem)}"


def _alternatives(error: ValidationError) -> list[ErrorDetails]:
    """Return the first problem, or where a value may be of several kinds one for each kind that may be meant.

    A word that is near to one of the known words is meant as that alone, and a number as no word. A missing key beside
    an unknown one may be a misspelt one.
    """
    problems = error.errors()
    first = problems[0]
    beside = [own for own in problems if own["type"] == "extra_forbidden" and own["loc"][:-1] == first["loc"][:-1]]
    if first["type"] == "missing" and beside:
        return beside[:1]
    alike = [own for own in problems if own["loc"][:-1] == first["loc"][:-1] and own["input"] == first["input"]]
    if not any(str(part).startswith("literal[") for own in alike for part in own["loc"][-1:]):
        return [first]
    words = isinstance(first["input"], str)
    meant = [own for own in alike if (own["type"] == "literal_error") == words] or alike
    others = [own for own in alike if words and own not in meant and not _nearest(meant[0])]
    return [{**own, "loc": own["loc"][:-1]} for own in meant + others]


def _nearest(problem: ErrorDetails) -> str:
    """Return the word of a list that a wrong one is nearest to, as a question; nothing where there is none."""
    known = re.findall(r"'([^']*)'", problem.get("ctx", {}).get("expected", ""))
    given = problem["input"]
    found = near(given, known) if problem["type"] == "literal_error" and isinstance(given, str) else None
    return "" if found is None else f"; did you mean '{found}'?"


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the known keys at a place: fields on the way there, and names of kinds where there are several."""
    kinds = [model]
    for part in path:
        named = [kind for kind in kinds if "name" in kind.model_fields]
        kinds = [kind for kind in named if part in get_args(kind.model_fields["name"].annotation)] or [
            own for kind in kinds if part in kind.model_fields for own in _models(kind.model_fields[part].annotation)
        ]
    return [field for kind in kinds or [model] for field in kind.model_fields]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
