"""Which cells are meant: one rule for ``--where`` and for ``overrides.where`` of a grid file."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from headbench.core.errors import UserError, suggest
from headbench.runners.grid import recipes
from headbench.runners.grid.cells import CHOICES, PLAIN, Cell

NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d*)?(e[-+]?\d+)?(?![\w.])")


class Budget(NamedTuple):
    """A recipe and the epochs that ``fast/4`` or ``fast*2`` ask of it."""

    recipe: str
    epochs: int


def matching(cells: Sequence[Cell], where: dict[str, Any], place: str, *, needed: bool = True) -> list[int]:
    """Return the positions of the cells whose fields are among the values wanted.

    A head, data set, backbone or recipe is named with or without its options; ``head.loss_scale`` and the like are its
    options. A recipe may have a budget, as in ``fast/4``. Numbers compare as numbers.

    Args:
        cells: of the grid.
        where: a value or a list of values by key.
        place: for messages.
        needed: refuse what matches no cell.

    Raises:
        UserError: for a key or a value that no cell has, with the nearest, or if no cell has all of them.
    """
    chosen = list(range(len(cells)))
    for key, wanted in where.items():
        present = [_values(cell, key) for cell in cells]
        # What is not needed may be of an axis that other cells have.
        if not any(present) and (needed or key.partition(".")[0] not in (*CHOICES, *PLAIN)):
            raise UserError(f"{place}: unknown key '{key}'; {suggest(key, _keys(cells))}")
        listed = wanted if isinstance(wanted, list) else [wanted]
        meant = [_budget(one, place) if key in {"recipe", "recipe.name"} else one for one in listed]
        known = {_text(value): value for values in present for value in values if not isinstance(value, Budget)}
        if needed and not listed:
            raise UserError(f"{place}: no value for {key}; {suggest('', known)}")
        for one, named in zip(listed, meant, strict=True):
            if needed and not any(_same(value, named) for values in present for value in values):
                raise UserError(f"{place}: no cell has {key} '{_text(one)}'; {suggest(_text(one), known)}")
        chosen = [number for number in chosen if any(_same(value, one) for value in present[number] for one in meant)]
    if needed and not chosen:
        raise UserError(f"{place}: matches no cell; each value occurs, but {', '.join(where)} not together")
    return chosen


def _values(cell: Cell, key: str) -> list[Any]:
    """Return the values that name a cell's field, none where it has no such field."""
    outer, _, inner = key.partition(".")
    if outer in PLAIN and not inner:
        return [getattr(cell, outer)]
    if outer not in CHOICES:
        return []
    if inner in {"", "name"}:
        budgets = [Budget(cell.recipe_name, cell.recipe.epochs)] if outer == "recipe" else []
        return [*cell.names(outer), *budgets]
    options = cell.options(outer)
    return [options[inner]] if inner in options else []


def _budget(wanted: Any, place: str) -> Any:
    """Return the budget that a recipe's name asks for, or what is wanted as it is."""
    if not isinstance(wanted, str) or "(" in wanted:
        return wanted
    name, asked = recipes.budgeted(wanted, place)
    return Budget(name, asked["epochs"]) if asked else wanted


def _keys(cells: Sequence[Cell]) -> set[str]:
    return {*CHOICES, *PLAIN} | {
        f"{outer}.{option}" for cell in cells for outer in CHOICES for option in cell.options(outer)
    }


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, str) and isinstance(wanted, str | int) and not isinstance(wanted, bool):
        return _canonical(value) == _canonical(str(wanted))
    # In Python True == 1.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _canonical(label: str) -> str:
    """Return a label without spaces and with its numbers in one form, so that ``hpn(loss_scale=2)`` is
    ``hpn(loss_scale=2.0)``.
    """
    return NUMBER.sub(lambda found: f"{float(found[0]):g}", label.replace(" ", ""))


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
