"""Values that a search has found, for the cells of a grid: ``tuned.yaml``."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from headbench.core import yaml_files
from headbench.core.errors import UserError, suggest
from headbench.core.numbers import Seed
from headbench.core.validation import Strict, one_line
from headbench.heads import HEADS
from headbench.runners.grid import recipes
from headbench.runners.grid.cells import CHOICES, PLAIN, Cell


class TunedStudy(Strict):
    """What one study has found.

    Attributes:
        study: its name.
        where: the cells that it is of, by their labels.
        trials: that were completed or pruned.
        trial: number of the best one, None where none was completed.
        values: its objectives, on validation.
        set: its values, by the names of an override.
    """

    study: str
    where: dict[str, Any]
    trials: int = Field(ge=0)
    trial: int | None = Field(None, ge=0)
    values: dict[str, float] = Field({})
    set: dict[str, Any] = Field({})


class Tuned(Strict):
    """``tuned.yaml``.

    Attributes:
        grid: that was searched.
        objectives: what was improved.
        cell_seed: that every trial was trained with.
        studies: one per cell of the grid but for its seed.
    """

    grid: str
    objectives: tuple[str, ...]
    cell_seed: Seed
    studies: tuple[TunedStudy, ...]

    def of(self, cell: Cell) -> TunedStudy | None:
        """Return the study that has found values for a cell, or None where there is none."""
        named = where(cell)
        return next((own for own in self.studies if own.trial is not None and own.where == named), None)


def where(cell: Cell) -> dict[str, Any]:
    """Return what tells a cell's study apart from the others of a grid: its labels and its axes but for the seed."""
    labels = {choice: cell.names(choice)[-1] for choice in CHOICES}
    return labels | {name: getattr(cell, name) for name in PLAIN if name != "seed"}


def changed(cell: Cell, values: dict[str, Any]) -> Cell:
    """Return a cell with other values of its recipe's fields and its head's options; its labels stay, so that a head is
    one head whatever was chosen for it.

    Args:
        cell: the cell.
        values: by ``recipe.FIELD`` and ``head.OPTION``.

    Raises:
        UserError: for an unknown name or a value out of range.
    """
    fields: dict[str, dict[str, Any]] = {"recipe": {}, "head": {}}
    for name, value in values.items():
        outer, _, inner = name.partition(".")
        if outer not in fields:
            raise UserError(f"'{name}' is neither recipe.FIELD nor head.OPTION")
        fields[outer][inner] = value
    place = f"head '{cell.head_label}'"
    recipe = recipes.change(cell.recipe, fields["recipe"], f"recipe '{cell.recipe_label}'")
    options = HEADS.get(cell.head).resolve(cell.head_options | fields["head"], place)
    return cell.model_copy(update={"recipe": recipe, "head_options": options})


def load(path: Path) -> Tuned:
    """Return what a file says, whether or not something was found yet.

    Raises:
        UserError: if it is no such file.
    """
    if not path.is_file():
        raise UserError(f"--tuned: there is no file {path}; bench.py tune writes runs/<grid>/tuned.yaml")
    content = yaml_files.read(path, f"--tuned {path}")
    try:
        return Tuned.model_validate(content)
    except ValidationError as error:
        raise UserError(one_line(error, Tuned, f"--tuned {path}")) from None


def read(path: Path) -> Tuned:
    """Return the values of a file.

    Raises:
        UserError: if it is no such file, or nothing was found yet.
    """
    found = load(path)
    if not any(study.trials for study in found.studies):
        raise UserError(f"--tuned {path}: no trial has ended yet")
    return found


def apply(cells: list[Cell], tuned: Tuned, path: Path) -> list[Cell]:
    """Return the cells with the values that a search has found; one without any keeps its own.

    Raises:
        UserError: if a seed is that of the search, a value is none that a search finds, or two heads have become one.
    """
    trials, applied = max(study.trials for study in tuned.studies), []
    for cell in cells:
        if cell.seed == tuned.cell_seed:
            raise UserError(f"--tuned {path}: seed {cell.seed} is that of the search, which is not to be reported")
        study = tuned.of(cell)
        counted = {"tuned": study.trials if study else trials}
        applied.append((_with(cell, study, path) if study else cell).model_copy(update=counted))
    known: dict[str, Cell] = {}
    for cell in applied:
        other = known.setdefault(cell.point, cell)
        if other.head_label != cell.head_label:
            raise UserError(
                f"--tuned {path}: the search found the same values for {other.head_label} and {cell.head_label}, "
                f"d = {cell.feature_dim}, on {cell.dataset_label}, which are one head then; leave one out with --where"
            )
    return applied


def _with(cell: Cell, study: TunedStudy, path: Path) -> Cell:
    """Return a cell with the values of its study."""
    place, searched = f"--tuned {path}, study '{study.study}'", {f"recipe.{name}" for name in cell.recipe.search}
    for name in study.set:
        if name.startswith("recipe.") and name not in searched:
            raise UserError(
                f"{place}: '{name}' is the same for every head, and not searched; {suggest(name, searched)}"
            )
    try:
        return changed(cell, study.set)
    except UserError as refused:
        raise UserError(f"{place}: {refused}") from None


def check(cells: list[Cell], path: Path) -> None:
    """Refuse cells that a search has not found values for alike.

    Args:
        cells: of :func:`apply`.
        path: of the values.

    Raises:
        UserError: if one of them has no values, or one had more trials than another.
    """
    found = read(path)
    for cell in cells:
        if found.of(cell) is None:
            what = f"{cell.head_label}, d = {cell.feature_dim}, on {cell.dataset_label}{_otherwise(cell, found)}"
            raise UserError(
                f"--tuned {path}: it has no values for {what}; search them with bench.py tune, or leave them out with "
                "--where"
            )
    trials = {cell.tuned: cell.head_label for cell in cells}
    if len(trials) > 1:
        most, fewest = max(trials), min(trials)
        raise UserError(
            f"--tuned {path}: not every head had the same number of trials: {trials[most]} {most}, {trials[fewest]} "
            f"{fewest}; go on with bench.py tune --trials {most}, or leave one out with --where"
        )


def _otherwise(cell: Cell, found: Tuned) -> str:
    """Return where the values of a cell's head, d and data set were searched instead, nothing where they were not."""
    named, same = where(cell), ("dataset", "head", "feature_dim")
    for study in found.studies:
        if study.trial is not None and all(study.where.get(name) == named[name] for name in same):
            key = next(key for key in named | study.where if study.where.get(key, "-") != named.get(key, "-"))
            return f" with {key} {named.get(key, '-')}, but with {key} {study.where.get(key, '-')}"
    return ""
