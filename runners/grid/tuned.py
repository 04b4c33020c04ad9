"""Values that a search has found, for the cells of a grid: ``tuned.yaml``."""

from pathlib import Path
from typing import Any

from pydantic import Field

from headbench.core import yaml_files
from headbench.core.errors import UserError, suggest
from headbench.core.numbers import Seed
from headbench.core.validation import Strict, fitting
from headbench.heads import HEADS
from headbench.runners.grid import recipes
from headbench.runners.grid.asking import ask
from headbench.runners.grid.cells import CHOICES, PLAIN, Cell
from headbench.runners.grid.intervals import Recorder

# Fields of a cell that no label tells, and with which it is another cell.
TRAINED = ("head_version", "backbone_version", "dataset_version", "imbalance_profile", "imbalance_seed")


class TunedStudy(Strict):
    """What one study has found.

    Attributes:
        study: its name.
        where: the cells that it is of, by their labels.
        trained: what else its trials were trained with, by names of :data:`TRAINED`; earlier harnesses did not tell.
        trials: that were completed or pruned.
        trial: number of the best one, None where none was completed.
        values: its objectives, on validation.
        set: its values, by the names of an override.
    """

    study: str
    where: dict[str, Any]
    trained: dict[str, Any] = Field({})
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
        named, those = where(cell), trained(cell)
        return next(
            (
                own
                for own in self.studies
                if own.trial is not None
                and own.where == named
                and all(those[name] == value for name, value in ({"drawn": {}} | own.trained).items() if name in those)
            ),
            None,
        )


def where(cell: Cell) -> dict[str, Any]:
    """Return what tells a cell's study apart from the others of a grid: its labels and its axes but for the seed."""
    labels = {choice: cell.names(choice)[-1] for choice in CHOICES}
    return labels | {name: getattr(cell, name) for name in PLAIN if name != "seed"}


def trained(cell: Cell) -> dict[str, Any]:
    """Return what a search's values are no better than, beside the labels: the versions, and which images there are."""
    return {name: getattr(cell, name) for name in TRAINED} | {"drawn": cell.drawn()}


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
    with fitting(Tuned, f"--tuned {path}"):
        return Tuned.model_validate(content)


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
        if other is not cell:
            one, two = (
                own.head_label if other.head_label != cell.head_label else f"{own.head_label} by {own.recipe_label}"
                for own in (other, cell)
            )
            raise UserError(
                f"--tuned {path}: the search found the same values for {one} and {two}, "
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
        found = changed(cell, study.set)
    except UserError as refused:
        raise UserError(f"{place}: {refused}") from None
    recorder = Recorder()
    ask(cell.head, HEADS.get(cell.head).target, "search_space", recorder, cell.head_options)
    for name, value in study.set.items():
        outer, _, inner = name.partition(".")
        interval = cell.recipe.search.get(inner) if outer == "recipe" else None
        if interval is not None and not (isinstance(value, int | float) and interval.low <= value <= interval.high):
            raise UserError(
                f"{place}: {name} {value} is none that a search finds from {interval.low:g} to {interval.high:g}"
            )
        # A head may make its value of what was suggested, so its interval is not that of the value.
        if outer == "head" and inner not in recorder.asked:
            raise UserError(f"{place}: '{name}' is not searched; {suggest(inner, recorder.asked)}")
    return found


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
            own, there = named | trained(cell), study.where | {"drawn": {}} | study.trained
            # Of versions and profiles what an earlier harness did not tell differs from nothing.
            keys = [key for key in {**named, **there} if there.get(key, "-") != own.get(key, "-")]
            return f" with {keys[0]} {own.get(keys[0], '-')}, but with {keys[0]} {there.get(keys[0], '-')}"
    return ""
