"""What a search changes of a cell: the intervals of its recipe and the search space of its head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FixedTrial
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.core.errors import UserError
from headbench.heads import HEADS
from headbench.runners.grid import tuned
from headbench.runners.grid.asking import ask
from headbench.runners.grid.cells import Cell
from headbench.runners.grid.intervals import Recorder, contains

MOST = 5


@dataclass(frozen=True)
class Space:
    """The space of one study.

    Attributes:
        distributions: by parameter: ``recipe.FIELD`` or ``head.OPTION``.
        start: the cell's own values, those of the paper where the grid names no others.
    """

    distributions: dict[str, BaseDistribution]
    start: dict[str, Any]


class SpaceError(UserError):
    """A head's search space is not one that a search can go through."""


def of(cell: Cell, info: DataInfo) -> Space:
    """Return the space of a cell, and where its search begins.

    Args:
        cell: with the grid's own values.
        info: what its head may know of the data.

    Raises:
        UserError: if there is nothing to search, too much, or a value of the cell is outside of its interval.
    """
    place, recorder = f"search of head '{cell.head_label}'", Recorder()
    answer = ask(cell.head, HEADS.get(cell.head).target, "search_space", recorder, cell.head_options)
    intervals = cell.recipe.search.items()
    spaces = {f"recipe.{name}": FloatDistribution(own.low, own.high, own.log) for name, own in intervals}
    found: dict[str, BaseDistribution] = spaces | {f"head.{name}": asked for name, asked in recorder.asked.items()}
    if not 0 < len(found) <= MOST:
        raise UserError(
            f"{place}: {len(found)} parameters ({', '.join(found) or 'none'}), and a search has one to {MOST}; "
            "recipe.search lists those of the recipe"
        )
    if not isinstance(answer, Mapping):
        raise UserError(f"{place}: search_space returns values by option, and not {answer!r}")
    start = {f"recipe.{name}": getattr(cell.recipe, name) for name, _ in intervals}
    start |= {f"head.{name}": value for name, value in _of_head(cell, info, recorder.asked, place).items()}
    for name, value in start.items():
        if not contains(found[name], value):
            raise UserError(f"{place}: it begins with {name} = {value}, which is not in its own {found[name]}")
    values(cell, start)
    return Space(found, start)


def values(cell: Cell, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what parameters of a trial mean for a cell: its recipe's fields and its head's options.

    Raises:
        SpaceError: if the head's search asks for other parameters than it did, or returns something else.
    """
    own = {name.removeprefix("head."): value for name, value in params.items() if name.startswith("head.")}
    try:
        options = HEADS.get(cell.head).target.search_space(FixedTrial(own), cell.head_options)
    except ValueError as error:
        raise SpaceError(f"head '{cell.head_label}': its search space depends on its own values: {error}") from None
    if options.keys() != own.keys():
        raise SpaceError(
            f"head '{cell.head_label}': search_space returns values of {', '.join(options) or 'nothing'}, and not of "
            f"what it suggests, {', '.join(own) or 'nothing'}"
        )
    fields = {name: value for name, value in params.items() if name.startswith("recipe.")}
    return fields | {f"head.{name}": value for name, value in options.items()}


def trial_cell(cell: Cell, params: Mapping[str, Any]) -> Cell:
    """Return the cell of a trial.

    Raises:
        UserError: for a value that its recipe or its head refuses.
    """
    return tuned.changed(cell, values(cell, params))


def _of_head(cell: Cell, info: DataInfo, asked: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return the values of the options that a head's search changes; of one that is None, what the head makes of it,
    which has the option's name.
    """
    for name in asked:
        if name not in cell.head_options:
            raise UserError(f"{place}: it suggests '{name}', which is no option of the head")
    found = {name: cell.head_options[name] for name in asked}
    if None in found.values():
        built = HEADS.get(cell.head).target(info, cell.feature_dim, **cell.head_options)
        found = {name: _plain(getattr(built, name, None)) if value is None else value for name, value in found.items()}
    for name, value in found.items():
        if value is None:
            raise UserError(f"{place}: option '{name}' is None, where no search can begin; give it a value")
    return found


def _plain(value: Any) -> Any:
    """Return a number that a head keeps as a tensor as one."""
    return value.item() if isinstance(value, Tensor) and value.ndim == 0 else value
