"""Grids: reading a grid file, and expanding it into cells."""

import itertools
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError

from headbench.core import yaml_files
from headbench.core.errors import UserError, suggest
from headbench.core.numbers import Seed
from headbench.core.validation import Strict, fitting, one_line
from headbench.heads import HEADS
from headbench.runners.grid import recipes
from headbench.runners.grid.asking import ask
from headbench.runners.grid.cells import CHOICES, PLAIN, Axes, Cell, ValFraction
from headbench.runners.grid.choices import Based, Choice, Named, Placed, based
from headbench.runners.grid.matching import matching
from headbench.runners.grid.resolving import Resolver

FOLDER = Path(__file__).parents[1] / "grids"
# The name of a grid is the name of its folder.
LONGEST = 100
# Keys of a run's grid.yaml beside those of the grid that was asked for.
OF_A_RUN = ("cells", "commands", "ood_sets")
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}


def folder_name(name: str) -> str:
    """Return the name of a grid, if it can be the name of a folder everywhere.

    Raises:
        ValueError: if it cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name) or name.endswith("."):
        raise ValueError(
            "a grid's name consists of letters, digits and . _ + -, begins with a letter or digit, and does not end "
            "with a dot"
        )
    if len(name) > LONGEST:
        raise ValueError(f"a grid's name has at most {LONGEST} letters, this has {len(name)}")
    if name.lower() == "cells" or name.lower().partition(".")[0] in DEVICES:
        raise ValueError(f"the name '{name}' is reserved; did you mean '{name}-grid'?")
    return name


Name = Annotated[str, AfterValidator(folder_name)]


class Override(Placed, Strict):
    """Cells that match ``where``, as :mod:`headbench.runners.grid.matching` says, get the values of ``set``; options
    are dotted (``head.loss_scale``, ``recipe.lr``).
    """

    where: dict[str, Any]
    set: Annotated[dict[str, Any], Field(min_length=1)]


class Without(Placed):
    """Cells that are left out: all that match, as :mod:`headbench.runners.grid.matching` says."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def where(self) -> dict[str, Any]:
        """Values by key."""
        return dict(self.model_extra or {})


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


class Grid(Strict):
    """A grid file.

    Attributes:
        name: of the grid and of its folder of results.
        description: one sentence.
        recipe: of every cell, unless ``axes.recipe`` lists several.
        projection: ``linear`` from the backbone to d, or ``none``.
        freeze: ``backbone`` keeps it as it was at the start, in eval mode; or ``none``.
        val_fraction: part of the training set held out for every choice, where the data set has no validation set of
            its own; 0 for no validation.
        split_seed: of that split.
        imbalance_profile: of class counts where ``axes.imbalance_factor`` is above 1: exponential, or a step after half
            of the classes.
        imbalance_seed: of the images that are drawn.
        axes: what is varied.
        overrides: exceptions.
        without: what of the product is left out, after the overrides.
        ood: data sets that are out of distribution, on which each cell is measured when it ends; no part of what a cell
            is.
    """

    name: Name
    description: str = ""
    recipe: Based = Choice(name="fast")
    projection: Literal["linear", "none"] = "linear"
    freeze: Literal["none", "backbone"] = "none"
    val_fraction: ValFraction = 0.1
    split_seed: Seed = 0
    imbalance_profile: Literal["exp", "step"] = "exp"
    imbalance_seed: Seed = 0
    axes: Axes
    overrides: tuple[Override, ...] = ()
    without: tuple[Without, ...] = ()
    ood: Annotated[tuple[Named, ...], BeforeValidator(_listed)] = ()


def grid_names() -> list[str]:
    """Return the names of the grids that come with the harness."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_grid(name_or_file: str | dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a grid file's contents, not yet validated, and its place for messages; contents stay what they are.

    Raises:
        UserError: if there is no such grid or file, or it is no YAML mapping.
    """
    if isinstance(name_or_file, dict):
        return name_or_file, f"grid '{name_or_file.get('name')}'"
    path = Path(name_or_file)
    if name_or_file in grid_names():
        path = FOLDER / f"{name_or_file}.yaml"
    elif path.suffix not in {".yaml", ".yml"}:
        raise UserError(f"unknown grid '{name_or_file}'; {suggest(name_or_file, grid_names())} (or a .yaml file)")
    elif not path.is_file():
        raise UserError(f"there is no grid file {path}")
    place = f"grid {path.name}"
    contents = yaml_files.read(path, place, unread=OF_A_RUN)
    if not isinstance(contents, dict):
        raise UserError(f"{place}: not a mapping of keys to values")
    if {"cells", "commands"} <= contents.keys():
        for key in OF_A_RUN:
            contents.pop(key, None)
    return contents, place


def parse_grid(contents: dict[str, Any], place: str) -> Grid:
    """Validate a grid file's contents.

    Raises:
        UserError: naming the wrong key or value, and its line where it came from a file.
    """
    try:
        grid = Grid.model_validate(contents)
    except ValidationError as error:
        line = yaml_files.line_of(contents, error.errors()[0]["loc"])
        raise UserError(one_line(error, Grid, place) + (f" (line {line})" if line else "")) from None
    # A mere name does not know its line.
    if "recipe" in contents:
        grid.recipe.set_line(yaml_files.line_of(contents, ("recipe",)))
    for axis in CHOICES:
        for number, choice in enumerate((getattr(grid.axes, axis) or ()) if axis in contents["axes"] else ()):
            choice.set_line(yaml_files.line_of(contents, ("axes", axis, number)))
    for number, choice in enumerate(grid.ood):
        choice.set_line(yaml_files.line_of(contents, ("ood", number)))
    return grid


def expand(grid: Grid, precision: str, place: str | None = None, *, derived: bool = False) -> list[Cell]:
    """Return the cells of a grid: the product of its axes, then its overrides, less what is left out; every name and
    option is resolved.

    Args:
        grid: as it was parsed.
        precision: of every cell.
        place: of the grid, for messages.
        derived: from a grid that expands; an override or ``without`` that now matches no cell says nothing.

    Raises:
        UserError: for an unknown name, option or field, an override or ``without`` that matches no cell, two equal
            cells, or none.
    """
    place = place or f"grid '{grid.name}'"
    axes = {name: getattr(grid.axes, name) or (getattr(grid, name),) for name in Axes.model_fields}
    shared = {name: getattr(grid, name) for name in PLAIN if name not in axes}
    raw = [dict(zip(axes, point, strict=True)) | shared for point in itertools.product(*axes.values())]
    alike = {name: getattr(grid, name) for name in Cell.model_fields if name in Grid.model_fields and name not in PLAIN}
    resolve = Resolver(alike | {"precision": precision}, frozenset(grid.axes.seed), place)
    cells = [resolve.cell(fields) for fields in raw]
    for override in grid.overrides:
        with override.placed():
            for number in matching(cells, override.where, f"{place}, overrides.where", needed=not derived):
                raw[number] = _overridden(raw[number], override.set, place)
                cells[number] = resolve.cell(raw[number])
    cells = _left(grid, cells, place, needed=not derived)
    _check_losses(cells, place)
    _refuse_doubles(cells, place)
    return cells


def _left(grid: Grid, cells: list[Cell], place: str, *, needed: bool) -> list[Cell]:
    """Return the cells that no ``without`` of the grid matches."""
    out: set[int] = set()
    for without in grid.without:
        with without.placed():
            out.update(matching(cells, without.where, f"{place}, without", needed=needed))
    if len(out) == len(cells):
        raise UserError(f"{place}: without leaves no cell")
    return [cell for number, cell in enumerate(cells) if number not in out]


def _check_losses(cells: list[Cell], place: str) -> None:
    """Refuse a recipe's factor on a loss that no head has, with its default options or those of its cells."""
    asked = {(cell.head, json.dumps(cell.head_options)) for cell in cells}
    asked |= {(name, json.dumps(entry.defaults)) for name, entry in HEADS.items() if not entry.required}
    losses = {ask(head, HEADS[head].target, "loss_name", json.loads(options)) for head, options in asked}
    for cell in cells:
        for name in cell.recipe.loss_scale.keys() - losses:
            raise UserError(
                f"{place}, recipe '{cell.recipe_name}': loss_scale: unknown loss '{name}'; {suggest(name, losses)}"
            )


def _refuse_doubles(cells: list[Cell], place: str) -> None:
    seen: set[str] = set()
    for cell in cells:
        point = cell.point
        if point in seen:
            facts = ", ".join(
                cell.names(axis)[-1] if axis in CHOICES else f"{axis} {getattr(cell, axis)}"
                for axis in Axes.model_fields
            )
            raise UserError(
                f"{place}: the same cell occurs twice ({facts}); an axis lists a value twice, or two that mean the same"
            )
        seen.add(point)


def _overridden(raw: dict[str, Any], changes: dict[str, Any], place: str) -> dict[str, Any]:
    """Return a cell's fields with what an override sets."""
    fields = dict(raw)
    for path, value in changes.items():
        outer, _, inner = path.partition(".")
        old = fields.get(outer)
        if outer not in fields or (inner and not isinstance(old, Choice)):
            known = [*fields, *(f"{name}.OPTION" for name, field in fields.items() if isinstance(field, Choice))]
            raise UserError(f"{place}, overrides.set: unknown key '{path}'; {suggest(path, known)}")
        with fitting(Choice, f"{place}, overrides.set: {path}"):
            fields[outer] = _replaced(old, outer, inner, value, place) if isinstance(old, Choice) else value
    return fields


def _replaced(old: Choice, outer: str, inner: str, value: Any, place: str) -> Choice:
    if inner:
        return old.changed({inner: value})
    choice = Choice.model_validate(based(value))
    if outer != "recipe":
        return choice
    # Another recipe keeps what the grid changed of the first one, but for the epochs where it has a budget; another
    # head or backbone has other options.
    budget = recipes.budgeted(choice.name, place)[1]
    return choice.changed({key: value for key, value in old.options.items() if key not in budget} | choice.options)
