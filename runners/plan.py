"""The plan of a grid: its cells with their data, identity and applicability, all checked before anything is trained."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from heads import HEADS
from runners import parts
from runners.classifier import unsupported
from runners.config import Cell, Grid, digest
from runners.hardware import Hardware
from runners.parts import Parts
from runners.train import stage_plan


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
    load = cache(lambda name: parts.load(name, root))
    split = cache(lambda name, fraction, seed: parts.split(load(name), fraction, seed, hardware.device))
    plan = []
    for cell in cells:
        fingerprint, data = load(cell.dataset).fingerprint, split(cell.dataset, cell.val_fraction, cell.split_seed)
        reason = unsupported(cell, data.info(cell.seed))
        if reason is None:
            stage_plan(cell, HEADS.get(cell.head).target, len(data.train))
        plan.append(Planned(cell, cell.cell_id(fingerprint), data, _facts(cell, fingerprint, data), reason))
    return plan


def _facts(cell: Cell, fingerprint: str, data: Parts) -> dict[str, Any]:
    return {
        "dataset": cell.dataset,
        "data_fingerprint": fingerprint,
        "protocol": cell.protocol,
        "backbone": cell.backbone_label,
        "projection": cell.projection,
        "head": cell.head,
        "head_label": cell.head_label,
        "head_options": json.dumps(cell.head_options, sort_keys=True),
        "feature_dim": cell.feature_dim,
        "num_classes": len(data.class_names),
        "imbalance_factor": 1,
        "recipe": cell.recipe_label,
        "recipe_hash": digest(cell.recipe.identity(), 8),
        "seed": cell.seed,
        "epochs": cell.recipe.epochs,
        "n_train": len(data.train),
        "n_val": len(data.val),
        "n_test": len(data.test),
    }


def resolved(grid: Grid, plan: list[Planned]) -> dict[str, Any]:
    """Return the contents of ``grid.yaml``: the grid as it was understood, and its cells."""
    cells = [{"cell_id": p.cell_id, "not_applicable": p.not_applicable} | p.facts for p in plan]
    return grid.model_dump(mode="json") | {"cells": cells}
