"""The plan of a grid: its cells with their data, identity and applicability, all checked before anything is trained."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headbench.core.errors import UserError
from headbench.data import Dataset
from headbench.data.loading.resident import Resident
from headbench.data.splits import Protocol, partition
from headbench.heads import HEADS
from headbench.runners.grid.config import Cell, Grid, digest
from headbench.runners.training import parts
from headbench.runners.training.classifier import unsupported
from headbench.runners.training.hardware import Hardware
from headbench.runners.training.parts import Parts, Statistics
from headbench.runners.training.stages import stage_plan

# The val_fraction of the protocol that is simply called lt-val.
LT_VAL = 0.1


@dataclass(frozen=True)
class Planned:
    """A cell ready to train.

    Attributes:
        cell: the cell.
        cell_id: its identity, the name of its folder.
        parts: its data on the device.
        facts: its columns in ``results.csv``.
        not_applicable: why it cannot be trained, or None.
    """

    cell: Cell
    cell_id: str
    parts: Parts
    facts: dict[str, Any]
    not_applicable: str | None


def make(cells: list[Cell], root: Path, hardware: Hardware) -> list[Planned]:
    """Load the data of all cells, give each its identity, and ask its head whether it applies.

    Raises:
        UserError: if a data set is missing or damaged, or a cell cannot be set up.
    """
    shared = _Shared(root, hardware)
    plan: list[Planned] = []
    known: dict[str, Cell] = {}
    for cell in cells:
        dataset, data = shared.dataset(cell), shared.parts(cell)
        check_augmentation(cell, data)
        reason = unsupported(cell, data.info(cell.seed))
        stages = [] if reason is not None else stage_plan(cell, HEADS.get(cell.head).target, len(data.train))
        epochs = sum(stage.epochs for stage, _ in stages) or cell.recipe.epochs
        cell_id = cell.cell_id(f"{dataset.fingerprint} {digest(dataset.class_names)}")
        other = known.setdefault(cell_id, cell)
        if other is not cell:
            raise UserError(
                f"the data sets {other.dataset_label} and {cell.dataset_label} have the same images, labels and class "
                f"names, so that their cells are the same; "
                "leave one of them out of the grid"
            )
        plan.append(Planned(cell, cell_id, data, _facts(cell, dataset, data, epochs), reason))
    return plan


class _Shared:
    """Data sets and their parts, loaded once for all cells with the same data and protocol."""

    def __init__(self, root: Path, hardware: Hardware) -> None:
        self.root, self.hardware = root, hardware
        self.datasets: dict[str, Dataset] = {}
        self.laid: dict[tuple[str, Protocol, Statistics | None], Parts] = {}

    def dataset(self, cell: Cell) -> Dataset:
        """Return a cell's data set."""
        key = _key(cell)
        if key not in self.datasets:
            self.datasets[key] = parts.load(cell.dataset, cell.dataset_options, self.root)
        return self.datasets[key]

    def parts(self, cell: Cell) -> Parts:
        """Return a cell's parts on the device."""
        protocol = Protocol(
            cell.val_fraction, cell.split_seed, cell.imbalance_factor, cell.imbalance_profile, cell.imbalance_seed
        )
        shown = cell.recipe.normalisation
        statistics = None if shown is None else (shown.mean, shown.std)
        key = (_key(cell), protocol, statistics)
        if key not in self.laid:
            dataset = self.dataset(cell)
            self.laid[key] = parts.lay(dataset, partition(dataset, protocol), statistics, self.hardware.device)
        return self.laid[key]


def _key(cell: Cell) -> str:
    return digest([cell.dataset, cell.dataset_options])


def protocol_name(cell: Cell, dataset: Dataset) -> str:
    """Return the protocol's name: what makes the choices, and for a long tail whether it is the published subset."""
    if cell.imbalance_factor == 1:
        held_out = f"holdout-{cell.val_fraction:g}" if dataset.val is None else "official-val"
        return held_out if cell.val_fraction else "full-train"
    if not cell.val_fraction:
        name = "published"
    elif dataset.val is not None:
        name = "lt-official-val"
    else:
        name = "lt-val" if cell.val_fraction == LT_VAL else f"lt-val-{cell.val_fraction:g}"
    profile = "" if cell.imbalance_profile == "exp" else f" {cell.imbalance_profile}"
    seed = f" imbalance-seed-{cell.imbalance_seed}" if cell.imbalance_seed else ""
    return name + profile + seed


def check_augmentation(cell: Cell, data: Parts) -> None:
    """Raise UserError for a field of the recipe that the cell's images cannot be augmented by."""
    augmentation = cell.recipe.augmentation()
    for name in data.train.ignored:
        if getattr(augmentation, name):
            kind = "streamed images" if name in Resident.ignored else "images in memory"
            raise UserError(
                f"recipe '{cell.recipe_label}': {name} is for {kind}, and '{cell.dataset_label}' has the others; set "
                f"recipe.{name} to null or 0"
            )


def _facts(cell: Cell, dataset: Dataset, data: Parts, epochs: int) -> dict[str, Any]:
    return {
        "dataset": cell.dataset_label,
        "data_fingerprint": dataset.fingerprint,
        "protocol": protocol_name(cell, dataset),
        "backbone": cell.backbone_label,
        "projection": cell.projection,
        "head": cell.head,
        "head_label": cell.head_label,
        "head_options": json.dumps(cell.head_options, sort_keys=True),
        "feature_dim": cell.feature_dim,
        "num_classes": len(data.class_names),
        "imbalance_factor": cell.imbalance_factor,
        "recipe": cell.recipe_label,
        "recipe_hash": digest(cell.recipe.identity(), 8),
        "seed": cell.seed,
        "epochs": epochs,
        "n_train": len(data.train),
        "n_val": len(data.val),
        "n_test": len(data.test),
    }


def resolved(grid: Grid, plan: list[Planned]) -> dict[str, Any]:
    """Return the contents of ``grid.yaml``: the grid as it was understood, and its cells."""
    cells = [{"cell_id": p.cell_id, "not_applicable": p.not_applicable} | p.facts for p in plan]
    return grid.model_dump(mode="json") | {"cells": cells}
