"""``--set`` and ``--where``: changing a grid from the command line, and choosing among its cells."""

import re
from collections.abc import Iterable
from typing import Any

from headbench.core import yaml_files
from headbench.core.errors import UserError, suggest
from headbench.runners.grid.cells import Axes, Cell, digest
from headbench.runners.grid.config import Grid
from headbench.runners.grid.matching import matching

# A comma that is not inside of brackets, as those of hpn(loss_scale=2, prototypes=uniform) are.
COMMA = re.compile(r",(?![^()]*\))")


class Several(list[Any]):
    """Values with commas between them, of which each is one; a list in brackets is a value itself."""


# Keys of a grid that a value on the command line replaces; axes and fields of the recipe have a path of their own.
SETTABLE = sorted(set(Grid.model_fields) - {"name", "axes", "overrides", "without"})


def assignments(words: Iterable[str], option: str) -> dict[str, Any]:
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
        place = f"{option}: cannot read the value of '{word}'"
        value = yaml_files.value(text, place)
        parts = COMMA.split(text) if isinstance(value, str) and text[0] not in "'\"" else []
        parsed[key] = Several(yaml_files.value(part, place) for part in parts) if len(parts) > 1 else value
    return parsed


def derive(contents: dict[str, Any], changes: dict[str, Any], name: str | None) -> dict[str, Any]:
    """Return a grid file's contents with changed values, under a name of its own.

    Args:
        contents: of the grid file.
        changes: by dotted path: ``recipe.FIELD``, ``axes.AXIS`` or a top-level key; several values of a recipe, or of
            its field, make recipes an axis.
        name: of the derived grid; by default the old one and a short hash of the changes.

    Raises:
        UserError: for a path that does not exist, or a recipe beside a list of them.
    """
    derived = dict(contents) if changes or name is not None else contents
    # Recipes are chosen before a field of theirs is changed, in whatever order both are given.
    for path in sorted(changes, key=lambda path: (path.startswith("recipe."), path == "recipe")):
        value = changes[path]
        outer, _, inner = path.partition(".")
        axes: Any = derived.get("axes")
        if outer == "axes" and inner in Axes.model_fields:
            # What is no mapping, or no list below, is left as it is, for the check of the whole grid to refuse.
            if axes is None or isinstance(axes, dict):
                derived["axes"] = (axes or {}) | {inner: [*value] if isinstance(value, list) else [value]}
            if inner == "recipe":
                derived.pop("recipe", None)
        elif outer == "recipe" and inner:
            several = axes.get("recipe") if isinstance(axes, dict) else None
            if several is None and isinstance(value, Several) and isinstance(axes, dict):
                several = [derived.pop("recipe", "fast")]
            if isinstance(several, list | tuple):
                values = value if isinstance(value, Several) else [value]
                changed = [_changed_recipe(recipe, inner, one) for recipe in several for one in values]
                derived["axes"] = axes | {"recipe": changed}
            elif several is None:
                derived["recipe"] = _changed_recipe(derived.get("recipe", "fast"), inner, value)
        elif path == "recipe" and isinstance(axes, dict) and axes.get("recipe") is not None:
            raise UserError("--set: 'recipe' means nothing where 'axes.recipe' lists the recipes; set that one")
        elif path == "recipe" and isinstance(value, Several) and isinstance(axes, dict):
            derived["axes"] = axes | {"recipe": [*value]}
            derived.pop("recipe", None)
        elif not inner and outer in SETTABLE:
            derived[outer] = [*value] if isinstance(value, Several) else value
        else:
            known = [*(f"axes.{axis}" for axis in Axes.model_fields), "recipe.FIELD", *SETTABLE]
            raise UserError(f"--set: unknown key '{path}'; {suggest(path, known)}")
    if name is not None:
        derived["name"] = name
    elif changes:
        derived["name"] = f"{contents.get('name')}+{digest(changes, 6)}"
    return derived


def _changed_recipe(recipe: Any, field: str, value: Any) -> Any:
    if isinstance(recipe, str):
        recipe = {"base": recipe}
    # What is neither a name nor a mapping is left as it is, for the check of the whole grid to refuse.
    return recipe | {field: value} if isinstance(recipe, dict) else recipe


def choose(cells: list[Cell], where: dict[str, Any]) -> list[Cell]:
    """Return the cells that ``--where`` means, see :func:`headbench.runners.grid.matching.matching`.

    Raises:
        UserError: for an unknown field, or values that no cell has.
    """
    return [cells[number] for number in matching(cells, where, "--where")]
