"""A classifier that was trained elsewhere, as a finished cell of a grid."""

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headbench.core.alone import alone
from headbench.core.errors import UserError
from headbench.core.version import git_commit
from headbench.results import columns, schema, store
from headbench.results.numbers import metrics
from headbench.runners.exchange import reference
from headbench.runners.exchange.reference import Named, Reference
from headbench.runners.exchange.score_files import Given
from headbench.runners.execution.cell import stored, tested
from headbench.runners.execution.plan import by_experiment, clash
from headbench.runners.grid.cells import digest
from headbench.runners.grid.config import folder_name

UNKNOWN = "unknown"


@dataclass(frozen=True)
class About:
    """What is said of a training elsewhere, by the names of columns. Cells are compared if all but head, d and seed are
    the same.

    Attributes:
        head_label: of the classifier's head.
        seed: of its training.
        feature_dim: d, or None: the scores themselves are taken as the features, d = C.
        backbone: its network.
        recipe: how it was trained.
        protocol: which images trained and validated.
        projection: from the backbone to the features.
        imbalance_factor: of the training images.
        epochs: 0 where that is unknown.
    """

    head_label: str
    seed: int = 0
    feature_dim: int | None = None
    backbone: str = UNKNOWN
    recipe: str = UNKNOWN
    protocol: str = UNKNOWN
    projection: str = UNKNOWN
    imbalance_factor: float = 1.0
    epochs: int = 0


@dataclass(frozen=True)
class Imported:
    """A cell that was written.

    Attributes:
        cell_id: its identity.
        measured: its metrics.
        source: what its labels agree with; empty for nothing.
        beside: labels of the heads that it is compared with.
    """

    cell_id: str
    measured: dict[str, Any]
    source: str
    beside: list[str]


def write(told: str, given: Given, dataset: Named, about: About, out: Path, grid: str, data: Path | None) -> Imported:
    """Write a classifier's scores as a finished cell, and list it in a grid, which is made if need be.

    Args:
        told: what the scores come from, see :func:`headbench.runners.exchange.score_files.told`.
        given: the scores.
        dataset: that they are of.
        about: its training.
        out: folder of the runs.
        grid: its name.
        data: the data folder, or None for the usual one.

    Raises:
        UserError: for labels or classes that are not those of the data set, a cell that is there already, or one that
            the grid's tables would take for a seed of another head.
        DamagedError: if the cell is there already, damaged.
        NewerError: if a newer harness wrote the cell that is there.
    """
    _check(about, grid)
    unknown = Reference("", "-", given.test.labels, ())
    if wrong := schema.problem(schema.Facts, _facts(given, dataset, about, unknown)):
        raise UserError(f"import: {wrong}")
    known = reference.find(dataset, given.test.labels, out, data, about.imbalance_factor, about.protocol)
    names = reference.check_classes(known, given.test.logits.shape[1], given.test.class_names)
    facts = _facts(given, dataset, about, known)
    cell_id = _identity(facts)
    folder, grid_folder = store.cell_folder(out, cell_id), store.grid_folder(out, grid)
    grid_folder.mkdir(parents=True, exist_ok=True)
    # The first, since the cell may be another grid's too.
    with alone(out / ".import.lock"), alone(grid_folder / ".lock"):
        empty: dict[str, Any] = {"name": grid, "description": "Classifiers that were trained elsewhere.", "cells": []}
        plan = store.read_or_set_aside(grid_folder) or empty
        listed = any(entry["cell_id"] == cell_id for entry in plan["cells"])
        measured = _measured(given, known)
        _refuse_other(folder, given, measured, listed, grid)
        entry = {"cell_id": cell_id, "not_applicable": None, "imported": told} | facts
        _refuse_clash(plan["cells"], entry, grid)
        if store.read_result(folder) is None:
            _write_cell(folder, facts, given, names, measured, told)
        beside = _beside(plan["cells"], facts)
        store.write_plan(grid_folder, plan | {"cells": [*plan["cells"], entry]})
    return Imported(cell_id, measured, known.source, beside)


def _check(about: About, grid: str) -> None:
    """Raise UserError for names that cannot be."""
    try:
        folder_name(grid)
    except ValueError as error:
        raise UserError(f"--grid: {error}") from None
    for name, text in vars(about).items():
        if isinstance(text, str) and not text.strip():
            raise UserError(f"--{name.removesuffix('_label')}: an empty name is given")


def _facts(given: Given, dataset: Named, about: About, known: Reference) -> dict[str, Any]:
    """Return the columns of ``results.csv`` that a plan tells."""
    images, classes = given.test.logits.shape
    counts, factor = given.class_counts, about.imbalance_factor
    facts = {name: columns.USUAL.get(name, "") for name in columns.names("comparison", "axis", "fact")} | vars(about)
    return facts | {
        "dataset": dataset.label,
        "dataset_name": dataset.name,
        "dataset_options": json.dumps(dataset.options, sort_keys=True, default=str),
        "data_fingerprint": known.fingerprint,
        "backbone_name": about.backbone,
        "backbone_options": "{}",
        "head": about.head_label,
        "head_options": "{}",
        "feature_dim": classes if about.feature_dim is None else about.feature_dim,
        "imbalance_factor": float(factor) if isinstance(factor, int) else factor,
        "num_classes": classes,
        "n_train": known.n_train if counts is None else int(counts.sum()),
        "n_val": 0 if given.val is None else len(given.val.labels),
        "n_test": images,
    }


def _identity(facts: dict[str, Any]) -> str:
    """Return the identity of an imported cell: what it is said to be, whatever its scores."""
    said = {name: facts[name] for name in (*columns.names("comparison", "axis"), "data_fingerprint", "num_classes")}
    return digest({"imported": 1} | said)


def _refuse_other(folder: Path, given: Given, measured: dict[str, Any], listed: bool, grid: str) -> None:
    """Raise UserError for a cell that is there already, unless it holds the same and the grid does not list it.

    A damaged one raises DamagedError.
    """
    result = store.read_result(folder)
    if result is None:
        return
    there, own = store.read_predictions(folder), _predictions(given)
    apart = [name for name in there | own if not np.array_equal(there.get(name, ()), own.get(name, ()))]
    groups = result["selections"]["last"]
    kinds = {
        "scores": {"last_test_logits", "test_labels"}.intersection(apart),
        "held-out images": apart,
        "native_scale": result["native_scale"] != given.native_scale,
        "class_counts": any(_known(groups.get(name)) != _known(measured[name]) for name in metrics.GROUPS),
    }
    other = next((f"other {kind}" for kind, differ in kinds.items() if differ), "")
    if listed or other:
        raise UserError(
            f"cell {folder.name} is there already, with {other or 'the same scores'}, and is not overwritten; "
            + ("give another --seed, --head, --d, --backbone or --recipe" if other else f"grid '{grid}' lists it")
        )


def _known(value: float | None) -> float | None:
    """Return a number, None where it is not known."""
    return None if value is None or np.isnan(value) else value


def _refuse_clash(cells: list[dict[str, Any]], entry: dict[str, Any], grid: str) -> None:
    """Raise UserError for a cell that the tables of a grid would average with a head that was trained in it, or count
    twice.
    """
    other = clash(by_experiment(cell for cell in cells if cell["not_applicable"] is None), entry)
    if other is None:
        return
    label = entry["head_label"]
    if "imported" not in other:
        raise UserError(f"import: grid '{grid}' has a trained head '{label}'; give another --head")
    raise UserError(
        f"import: grid '{grid}' lists cell {other['cell_id']} of head '{label}' with d = {other['feature_dim']} and "
        f"seed {other['seed']}; give another --head, --seed or --d"
    )


def _measured(given: Given, known: Reference) -> dict[str, Any]:
    """Return all metrics of a selection; those of groups of classes only where their training images are known."""
    test = given.test.logits, given.test.labels
    val = None if given.val is None else (given.val.logits, given.val.labels)
    nominal = known.nominal if given.class_counts is None else given.class_counts
    unknown = np.zeros(test[0].shape[1], dtype=np.int64)
    found = tested(test, val, given.native_scale, unknown if nominal is None else nominal, known.ranges)
    return found | (dict.fromkeys(metrics.GROUPS, float("nan")) if nominal is None else {})


def _predictions(given: Given) -> dict[str, np.ndarray]:
    """Return the scores and labels that a cell keeps."""
    test = {"last_test_logits": stored(given.test.stored), "test_labels": given.test.labels}
    if given.val is None:
        return test
    return test | {"val_logits": stored(given.val.stored), "val_labels": given.val.labels}


def _write_cell(
    folder: Path,
    facts: dict[str, Any],
    given: Given,
    class_names: tuple[str, ...],
    measured: dict[str, Any],
    told: str,
) -> None:
    """Write the files of a cell, ``result.json`` last."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    provenance = dict.fromkeys(("device", "precision", "torch_version"), UNKNOWN) | {
        "git_commit": git_commit(),
        "threads": None,
        "imported": told,
    }
    result = {
        "cell_id": folder.name,
        "facts": facts,
        "class_names": list(class_names),
        "native_scale": given.native_scale,
        "selections": {"last": {"epoch": facts["epochs"], "train_loss": None} | measured},
        "train_seconds": None,
        "images_per_second": None,
        "peak_memory_mb": None,
        "provenance": provenance,
        "started_at": now,
        "finished_at": now,
    }
    store.check_result(result)
    versions = {f"{name}_version": 0 for name in ("dataset", "backbone", "head")}
    store.write_yaml(folder / "cell.yaml", {"imported": told} | versions | facts)
    store.write_arrays(folder / "predictions.npz", _predictions(given))
    store.write_result(folder, result, ["cell.yaml", "predictions.npz"])


def _beside(cells: list[dict[str, Any]], facts: dict[str, Any]) -> list[str]:
    """Return the heads of a grid that a cell is compared with: at the same dimension, on the same images."""
    same = [*columns.TOGETHER, "feature_dim"]
    others = [cell["head_label"] for cell in cells if all(cell[name] == facts[name] for name in same)]
    return list(dict.fromkeys(label for label in others if label != facts["head_label"]))
