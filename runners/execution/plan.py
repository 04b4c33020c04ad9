"""The plan of a grid: the identity, the names and sizes of its cells, checked on the CPU before anything is trained."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from headbench.core.errors import UserError, at, note
from headbench.data.loading.resident import Resident
from headbench.data.loading.streamed import Streamed
from headbench.data.splits import partition, unseen
from headbench.heads import HEADS, Stage
from headbench.results import columns
from headbench.runners.grid.cells import Cell
from headbench.runners.grid.config import Grid
from headbench.runners.grid.recipes import Recipe
from headbench.runners.ood.sets import OodSet
from headbench.runners.training import parts
from headbench.runners.training.classifier import check_images, check_small, unsupported
from headbench.runners.training.data import Data
from headbench.runners.training.parts import Division, Outline
from headbench.runners.training.stages import stage_plan

# The val_fraction of the protocol that is simply called lt-val.
LT_VAL = 0.1
# Cells that agree in these are rows of one head, and in all of them one training of it.
HEAD = (*columns.TOGETHER, "head_label")
TRAINING = ("feature_dim", "seed")
Experiment = tuple[Any, ...]


@dataclass(frozen=True)
class Planned:
    """A cell ready to train, in any process: texts and numbers.

    Attributes:
        cell: the cell.
        cell_id: its identity, the name of its folder.
        facts: its columns in ``results.csv``.
        not_applicable: why it cannot be trained, or None.
    """

    cell: Cell
    cell_id: str
    facts: dict[str, Any]
    not_applicable: str | None


def make(cells: list[Cell], data: "Path | Outlines") -> list[Planned]:
    """Give each cell its identity, and ask its head whether it applies.

    Data sets are loaded, one after the other, and nothing is laid on a device.

    Args:
        cells: of a grid.
        data: the data folder, or the outlines of an earlier plan.

    Raises:
        UserError: if a data set is missing or damaged, or a cell cannot be set up.
    """
    outlines = Outlines(data) if isinstance(data, Path) else data
    kinds: dict[str, tuple[dict[str, Any], str | None]] = {}
    known: dict[str, Cell] = {}
    plan: list[Planned] = []
    for cell in cells:
        outline = outlines.of(cell)
        kind = cell.kind
        if kind not in kinds:
            kinds[kind] = _checked(cell, outline)
        facts, reason = kinds[kind]
        cell_id = cell.cell_id(outline.identity)
        other = known.setdefault(cell_id, cell)
        if other is not cell:
            raise UserError(
                f"the data sets {other.dataset_label} and {cell.dataset_label} have the same images, labels and class "
                f"names, so that their cells are the same; "
                "leave one of them out of the grid"
            )
        plan.append(Planned(cell, cell_id, facts | {"seed": cell.seed}, reason))
    return plan


class Outlines:
    """The outlines of all data of a plan; of the data sets themselves only the newest is kept."""

    def __init__(self, root: Path) -> None:
        self.data = Data(root, torch.device("cpu"))
        self.known: dict[Division, Outline] = {}

    def of(self, cell: Cell) -> Outline:
        """Return the outline of a cell's data.

        Raises:
            UserError: if the data set is missing or damaged.
        """
        division = Division.of(cell)
        if division not in self.known:
            dataset = self.data.dataset(cell)
            parts.check_statistics(dataset, division.statistics)
            with at(f"data set '{cell.dataset_label}'"):
                divided = partition(dataset, division.protocol)
            if names := unseen(dataset, divided):
                note(
                    f"data set '{cell.dataset_label}': no image of {len(names)} of {len(dataset.class_names)} classes "
                    f"is held out, first '{names[0]}': accuracy on validation says nothing of them"
                )
            self.known[division] = parts.outline(dataset, divided)
        return self.known[division]


def _checked(cell: Cell, outline: Outline) -> tuple[dict[str, Any], str | None]:
    """Return the facts of all cells that differ in their seed only, and why they do not apply, or None.

    Raises:
        UserError: if such a cell cannot be set up.
    """
    check_augmentation(cell.recipe, outline, cell)
    with at(f"data set '{cell.dataset_label}'"):
        reason = unsupported(cell, outline.info(cell.seed))
    stages = [] if reason is not None else stage_plan(cell, HEADS.get(cell.head).target, outline.n_train)
    for stage, recipe in stages:
        check_views(stage, recipe, outline, cell)
    check_images(cell, outline.image_shape)
    epochs = sum(stage.epochs for stage, _ in stages) or cell.recipe.epochs
    return _facts(cell, outline, epochs), reason


def protocol_name(cell: Cell, outline: Outline) -> str:
    """Return the protocol's name: what makes the choices, and for a long tail whether it is the published subset."""
    drawn = cell.val_fraction and not outline.official_val
    split = f" split-seed-{cell.split_seed}" if drawn and cell.split_seed else ""
    if cell.imbalance_factor == 1:
        held_out = f"holdout-{cell.val_fraction:g}" if not outline.official_val else "official-val"
        return held_out + split if cell.val_fraction else "full-train"
    if not cell.val_fraction:
        name = "published"
    elif outline.official_val:
        name = "lt-official-val"
    else:
        name = "lt-val" if cell.val_fraction == LT_VAL else f"lt-val-{cell.val_fraction:g}"
    profile = "" if cell.imbalance_profile == "exp" else f" {cell.imbalance_profile}"
    seed = f" imbalance-seed-{cell.imbalance_seed}" if cell.imbalance_seed else ""
    return name + profile + seed + split


def held_out(protocol: str) -> float | None:
    """Return the part of the training images that a protocol of this name holds out for validation; None where the name
    does not tell it.
    """
    if protocol in ("full-train", "published"):
        return 0.0
    if protocol == "lt-val":
        return LT_VAL
    kind, _, fraction = protocol.rpartition("-")
    if kind not in ("holdout", "lt-val"):
        return None
    with suppress(ValueError):
        return part if 0 < (part := float(fraction)) < 1 else None
    return None


def check_views(stage: Stage, recipe: Recipe, outline: Outline, cell: Cell) -> None:
    """Raise UserError for what a stage asks for that the cell's images cannot be shown in."""
    check_augmentation(recipe, outline, cell)
    check_small(cell, recipe.small, outline.image_shape, f"recipe '{cell.recipe_label}'")
    for view in stage.views:
        try:
            outline.kind.check_view(view, recipe.augmentation(), outline.image_shape)
        except UserError as error:
            place = f"head '{cell.head_label}', stage '{stage.name}', recipe '{cell.recipe_label}'"
            raise UserError(f"{place}: {error}; data set '{cell.dataset_label}'") from None


def check_augmentation(recipe: Recipe, outline: Outline, cell: Cell) -> None:
    """Raise UserError for a field of a recipe that the cell's images cannot be augmented by."""
    augmentation = recipe.augmentation()
    for name in outline.kind.ignored:
        if getattr(augmentation, name):
            kind = "streamed images" if name in Resident.ignored else "images in memory"
            raise UserError(
                f"recipe '{cell.recipe_label}': {name} is for {kind}, and '{cell.dataset_label}' has the others; set "
                f"recipe.{name}=0"
            )


def _facts(cell: Cell, outline: Outline, epochs: int) -> dict[str, Any]:
    facts = cell.facts() | {
        "data_fingerprint": outline.fingerprint,
        "protocol": protocol_name(cell, outline),
        "num_classes": len(outline.class_names),
        "augmentation": cell.recipe.augmentation().label(cropped=outline.kind is Streamed),
        "epochs": epochs,
        "n_train": outline.n_train,
        "n_val": outline.n_val,
        "n_test": outline.n_test,
    }
    return {name: facts[name] for name in columns.names("comparison", "axis", "fact")}


def check_data(planned: Planned, outline: Outline) -> None:
    """Raise UserError where a cell's data are not those that it was planned with."""
    if planned.cell.cell_id(outline.identity) != planned.cell_id:
        raise UserError(f"the data set {planned.cell.dataset_label} has changed since the run began; start it again")


def listed(plan: list[Planned], cells: list[Cell], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the cells of ``grid.yaml`` in the order of the grid: those of the plan, and of the others those that an
    earlier plan has.

    Args:
        plan: of some cells.
        cells: of the grid.
        before: what ``grid.yaml`` lists.
    """
    new = dict[str, dict[str, Any]]()
    for planned in plan:
        point = planned.cell.point
        new[point] = {"cell_id": planned.cell_id, "point": point, "not_applicable": planned.not_applicable}
        new[point] |= planned.facts | {"head_display": _display(planned.cell)}
    if len(plan) == len(cells):
        return list(new.values())
    known = {entry.get("point"): entry for entry in before} | new
    return [known[cell.point] for cell in cells if cell.point in known]


def _display(cell: Cell) -> str:
    """Return the label of a cell's head as papers write it: ``HPN (loss_scale=4.0)``."""
    options = cell.head_label.removeprefix(cell.head)
    return f"{display(cell.head)} {options}".strip()


def display(head: str) -> str:
    """Return a head's name as papers write it."""
    return HEADS.get(head).about.get("display") or head


def clash(known: Mapping[Experiment, dict[str, Any]], cell: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a listed cell that another one cannot stand beside in a grid, since tables would count both as seeds of
    one head: another training of the same head, dimension and seed, or one that was imported where the other is
    trained. None where there is none.

    Args:
        known: of :func:`by_experiment`.
        cell: as ``grid.yaml`` lists it.
    """
    head, training = experiments(cell)
    again, first = known.get(training), known.get(head)
    if again is not None and again["cell_id"] != cell["cell_id"]:
        return again
    return first if first is not None and ("imported" in first) != ("imported" in cell) else None


def by_experiment(cells: Iterable[dict[str, Any]]) -> dict[Experiment, dict[str, Any]]:
    """Return the first of some listed cells of each head, and of each training of one."""
    found = dict[Experiment, dict[str, Any]]()
    for cell in cells:
        for experiment in experiments(cell):
            found.setdefault(experiment, cell)
    return found


def experiments(cell: Mapping[str, Any]) -> tuple[Experiment, Experiment]:
    """Return what tells the head of a listed cell, and what tells its training, from those of others."""
    head = tuple(cell[name] for name in HEAD)
    return head, (*head, *(cell[name] for name in TRAINING))


def resolved(grid: Grid, entries: list[dict[str, Any]], ood: Iterable[OodSet] = ()) -> dict[str, Any]:
    """Return the contents of ``grid.yaml``: the grid as it was understood, its cells, and the other data sets that it
    names; without these as before there were any.
    """
    contents = grid.model_dump(mode="json") | {"cells": entries, "ood_sets": [one.listed() for one in ood]}
    return {key: value for key, value in contents.items() if value or key not in {"ood", "ood_sets"}}
