"""A small store made by hand: two heads and two dimensions, three seeds, an inapplicable and a failed cell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headbench.results import answers, store
from headbench.results.numbers import collapse, metrics

FACTS = {
    "dataset": "toy",
    "data_fingerprint": "abc",
    "protocol": "holdout-0.1",
    "backbone": "net",
    "projection": "linear",
    "head_options": "{}",
    "num_classes": 4,
    "imbalance_factor": 1,
    "recipe": "fast",
    "recipe_hash": "123",
    "epochs": 2,
    "n_train": 80,
    "n_val": 40,
    "n_test": 40,
}
CLASSES = ("ant", "bee", "cat", "dog")
NOMINAL = np.array([200, 50, 50, 10])
PROVENANCE = {
    "device": "cpu",
    "cells_per_device": 1,
    "threads": 2,
    "precision": "fp32",
    "git_commit": "0123456789ab",
    "torch_version": "2",
}


SIMPLEX = np.linalg.svd(np.eye(4) - 0.25)[0][:, :3] * np.sqrt(4 / 3)


def geometry(means: np.ndarray, spread: float, prototypes: np.ndarray) -> dict[str, np.ndarray]:
    """A cell's geometry with ``spread`` times as much variation within classes as between them."""
    centred = means - means.mean(axis=0)
    between = centred.T @ centred / len(means)
    return {
        "class_means": means,
        "within": spread * between,
        "between": between,
        "prototypes": prototypes,
        "nearest_mean_agreement": np.array(0.75),
    }


def facts(head: str, dim: int, seed: int, **changes: Any) -> dict[str, Any]:
    """A cell's columns."""
    return FACTS | {"head": head, "head_label": head, "feature_dim": dim, "seed": seed} | changes


def write_cell(
    out: Path,
    cell: dict[str, Any],
    right: int,
    marks: tuple[str, ...] = (),
    cell_id: str | None = None,
    class_names: Sequence[str] = CLASSES,
    compute: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Write a finished cell with ``right`` of 40 test images right, these marks of its health and what it computed.

    Return its entry in ``grid.yaml``.
    """
    cell_id = cell_id or f"{cell['head_label']}-{cell['feature_dim']}-{cell['seed']}-{cell['dataset']}"
    rng = np.random.default_rng(right)
    labels = np.arange(40) % 4
    logits = 3 * np.eye(4)[np.where(np.arange(40) < right, labels, (labels + 1) % 4)] + 0.1 * rng.standard_normal(
        (40, 4)
    )
    measured: dict[str, Any] = metrics.evaluate(
        (logits, labels), (logits[::-1].copy(), labels[::-1].copy()), 1.0, NOMINAL, (1, 3)
    )
    measured |= answers.pack(answers.of(logits, labels))
    arrays: dict[str, np.ndarray] = {
        "test_labels": labels,
        "val_labels": labels[::-1].copy(),
        "last_test_logits": logits.astype(np.float32),
        "val_logits": logits[::-1].copy(),
        "best_test_test_logits": logits.astype(np.float32),
    }
    folder = store.cell_folder(out, cell_id)
    store.write_arrays(folder / "predictions.npz", arrays)
    store.write_text(folder / "history.csv", "epoch,train_loss\n1,0.7\n2,0.5\n")
    store.write_arrays(folder / "geometry.npz", geometry(SIMPLEX, 0.1 * (1 + cell["seed"]), SIMPLEX))
    per_class = metrics.per_class_accuracy(logits, labels).tolist()
    last = (
        measured
        | {"per_class_accuracy": per_class}
        | collapse.measure(geometry(SIMPLEX, 0.1 * (1 + cell["seed"]), SIMPLEX))
    )
    result = {
        "cell_id": cell_id,
        "facts": cell,
        "class_names": list(class_names),
        "native_scale": 1.0,
        "health": {"marks": list(marks)},
        "selections": {
            "last": {"epoch": 2, "train_loss": 0.5} | last,
            "best_test": {"epoch": 1, "train_loss": 0.7} | measured,
        },
        "train_seconds": 1.0,
        "images_per_second": 100.0,
        "peak_memory_mb": 10.0,
        **(compute or {}),
        "provenance": PROVENANCE,
        "started_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:01:00+00:00",
    }
    store.write_result(folder, result, ["predictions.npz", "history.csv", "geometry.npz"])
    return {"cell_id": cell_id, "not_applicable": None} | cell


def write_described(out: Path, head: str, seed: int, right: int, version: int = 1) -> dict[str, Any]:
    """Write a cell with its description."""
    cell = write_cell(out, facts(head, 5, seed), right)
    describe(store.cell_folder(out, cell["cell_id"]), version)
    return cell


def describe(folder: Path, version: int) -> None:
    """Write the description of a cell, whose head has this version."""
    store.write_yaml(folder / "cell.yaml", {"dataset_version": 1, "backbone_version": 2, "head_version": version})
    rewrite(folder, {})


def rewrite(folder: Path, changes: dict[str, Any]) -> None:
    """Write a cell's result again, with the checksums of what is now in its folder."""
    result = store.read_result(folder)
    assert result is not None
    told = {key: value for key, value in result.items() if key not in {"schema", "sha256"}}
    store.write_result(folder, told | changes, sorted({path.name for path in folder.iterdir()} - {"result.json"}))


def write_grid(out: Path, cells: list[dict[str, Any]], name: str = "toy-grid") -> None:
    """Write ``grid.yaml``."""
    store.write_plan(store.grid_folder(out, name), {"name": name, "cells": cells})


def toy(out: Path, **changes: Any) -> None:
    """Write the whole store; ``changes`` are columns of all cells."""
    cells = [
        write_cell(out, facts("psc", dim, seed, **changes), right)
        for dim, rights in ((2, (20, 22, 24)), (5, (36, 36, 36)))
        for seed, right in enumerate(rights)
    ]
    cells += [write_cell(out, facts("etf", 5, seed, **changes), right) for seed, right in enumerate((36, 38))]
    cells += [
        {"cell_id": f"etf-2-{seed}", "not_applicable": "a simplex needs d >= 3"} | facts("etf", 2, seed, **changes)
        for seed in range(3)
    ]
    cells.append({"cell_id": "etf-5-2", "not_applicable": None} | facts("etf", 5, 2, **changes))
    store.write_text(store.cell_folder(out, "etf-5-2") / "error.txt", "RuntimeError: no luck\n\nTraceback\n  line\n")
    cells.append({"cell_id": "not-run", "not_applicable": None} | facts("hpn", 2, 0, **changes))
    write_grid(out, cells)
