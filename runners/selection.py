"""``--set`` and ``--where``: changing a grid from the command line, and choosing among its cells."""

from typing import Any

import yaml

from core.errors import UserError, suggest
from runners.config import Axes, Cell, Grid, digest

FILTERS = ("dataset", "imbalance_factor", "backbone", "recipe", "head", "feature_dim", "seed")


def assignments(words: list[str], option: str) -> dict[str, Any]:
    """Parse ``key=value`` words; a value with commas is a list, and each part is read as YAML.

    Raises:
        UserError: for a word without ``=``, a key given twice, or an unreadable value.
    """
    parsed: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key or not text:
            raise UserError(f"{option}: '{word}' is not of the form key=value")
        if key in parsed:
            raise UserError(f"{option}: '{key}' is given twice")
        try:
            value = yaml.safe_load(text)
            parsed[key] = [yaml.safe_load(part) for part in text.split(",")] if isinstance(value, str) and "," in text else value
        except yaml.YAMLError:
            raise UserError(f"{option}: cannot read the value of '{word}'") from None
    return parsed


def derive(contents: dict[str, Any], changes: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Return a grid file's contents with changed values, under a name of its own.

    Args:
        contents: of the grid file.
        changes: by dotted path: ``recipe.FIELD``, ``axes.AXIS`` or a top-level key.
        name: of the derived grid; by default the old one and a short hash of the changes.

    Raises:
        UserError: for a path that does not exist.
    """
    derived = dict(contents)
    for path, value in changes.items():
        outer, _, inner = path.partition(".")
        if outer == "axes" and inner in Axes.model_fields:
            derived["axes"] = dict(derived.get("axes") or {}) | {inner: value if isinstance(value, list) else [value]}
        elif outer == "recipe" and inner:
            if "recipe" in (derived.get("axes") or {}):
                axis = derived["axes"]["recipe"]
                derived["axes"] = derived["axes"] | {"recipe": [_changed_recipe(recipe, inner, value) for recipe in axis]}
            else:
                derived["recipe"] = _changed_recipe(derived.get("recipe", "fast"), inner, value)
        elif not inner and outer in Grid.model_fields and outer not in {"name", "axes", "overrides"}:
            derived[outer] = value
        else:
            known = [f"axes.{axis}" for axis in Axes.model_fields] + ["recipe.FIELD", *sorted(set(Grid.model_fields) - {"name", "axes", "overrides"})]
            raise UserError(f"--set: unknown key '{path}'; {suggest(path, known)}")
    if name:
        derived["name"] = name
    elif changes:
        derived["name"] = f"{contents.get('name')}+{digest(changes, 6)}"
    return derived


def _changed_recipe(recipe: Any, field: str, value: Any) -> dict[str, Any]:
    return ({"base": recipe} if isinstance(recipe, str) else dict(recipe)) | {field: value}


def choose(cells: list[Cell], where: dict[str, Any]) -> list[Cell]:
    """Return the cells whose fields are among the values wanted; a head, backbone or recipe may be named with or without its options.

    Raises:
        UserError: for an unknown field, or a value that no cell has.
    """
    for key, wanted in where.items():
        if key not in FILTERS:
            raise UserError(f"--where: unknown key '{key}'; {suggest(key, FILTERS)}")
        values = wanted if isinstance(wanted, list) else [wanted]
        present = set().union(*(_values(cell, key) for cell in cells))
        for value in map(_text, values):
            if value not in present:
                raise UserError(f"--where: no cell has {key} '{value}'; {suggest(value, present)}")
        cells = [cell for cell in cells if _values(cell, key) & set(map(_text, values))]
    return cells


def _values(cell: Cell, key: str) -> set[str]:
    names = {_text(getattr(cell, f"{key}_label", getattr(cell, key)))}
    return names | {_text(getattr(cell, key)) if key != "recipe" else cell.recipe_label.partition("(")[0]}


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
