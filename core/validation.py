"""What pydantic finds wrong, said in one line."""

from pydantic import BaseModel, ValidationError

from headbench.core.errors import suggest


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
    hint = (
        ", which in quotes would be one"
        if problem["type"] == "string_type" and isinstance(problem["input"], bool | int | float)
        else ""
    )
    return f"{where}: {problem['msg'].removeprefix('Value error, ')} (got {problem['input']!r}{hint})"


def _keys(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return list(model.model_fields)
