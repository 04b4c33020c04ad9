"""Time and memory of a report on many cells: ``python benchmarks/report_size.py``.

The cells are made up, in the sizes of CIFAR; nothing is trained. Linux.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from headbench.results import answers, store
from headbench.results.numbers import collapse, metrics

HEADS = ["psc", "word2vec", "hpn", "etf", "dl2pa"]
DIMS = [10, 25, 50, 100]
IMBALANCES = [1, 10, 50, 100, 200]
SEEDS, EPOCHS, TEST, VAL = 10, 200, 10_000, 5_000


def template(folder: Path, classes: int, dim: int, rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """Write the files of one cell; return what ``result.json`` says of it."""
    labels = {"test": np.arange(TEST) % classes, "val": np.arange(VAL) % classes}
    arrays: dict[str, np.ndarray] = {f"{part}_labels": own for part, own in labels.items()}
    logits = {
        part: (3 * np.eye(classes)[own] + 2 * rng.standard_normal((len(own), classes))).astype(np.float32)
        for part, own in labels.items()
    }
    for selection in ("last", "best_val", "best_test"):
        arrays |= {
            f"{selection}_test_logits": logits["test"],
            store.val_logits(selection): logits["val"],
        }
    store.write_arrays(folder / "predictions.npz", arrays)
    means = rng.standard_normal((classes, dim))
    shape = {
        "class_means": means,
        "within": np.eye(dim),
        "between": means.T @ means / classes,
        "prototypes": means,
        "nearest_mean_agreement": np.array(0.9),
    }
    store.write_arrays(folder / "geometry.npz", shape)
    lines = "".join(f"{epoch},1.5,{epoch % 7},50.0\n" for epoch in range(1, EPOCHS + 1))
    store.write_text(folder / "history.csv", f"epoch,train_loss,assignment_changes,assignment_similarity\n{lines}")
    measured = metrics.evaluate(
        (logits["test"], labels["test"]), (logits["val"], labels["val"]), 10.0, np.full(classes, 50), None
    )
    accuracies = metrics.per_class_accuracy(logits["test"], labels["test"]).tolist()
    row: dict[str, Any] = measured | {"epoch": EPOCHS, "train_loss": 1.5, "per_class_accuracy": accuracies}
    return {"last": row | collapse.measure(shape), "best_val": row, "best_test": row}


def fill(out: Path, seeds: int) -> int:
    """Write a store of cells, whose large files are links to few; return how many."""
    rng, cells = np.random.default_rng(0), list[dict[str, Any]]()
    templates = {}
    for classes, dim in itertools.product((10, 100), DIMS):
        folder = out / f"template-{classes}-{dim}"
        templates[classes, dim] = folder, template(folder, classes, dim, rng)
    for classes, imbalance, head, dim, seed in itertools.product((10, 100), IMBALANCES, HEADS, DIMS, range(seeds)):
        source, selections = templates[classes, dim]
        cell_id = f"{len(cells):016x}"
        folder = store.cell_folder(out, cell_id)
        folder.mkdir(parents=True)
        for file in source.iterdir():
            os.link(file, folder / file.name)
        facts: dict[str, Any] = {
            "dataset": f"cifar{classes}",
            "data_fingerprint": "0",
            "protocol": "lt-val",
            "backbone": "resnet32",
            "projection": "linear",
            "head": head,
        }
        facts |= {
            "head_label": head,
            "head_options": "{}",
            "feature_dim": dim,
            "num_classes": classes,
            "imbalance_factor": imbalance,
            "recipe": "paper",
        }
        facts |= {"recipe_hash": "0", "seed": seed, "epochs": EPOCHS, "n_train": 45_000, "n_val": VAL, "n_test": TEST}
        right = rng.random(TEST) < 0.5 + 0.1 * rng.random()
        answer = answers.pack(answers.Answer(right, cell_id)) | {"top1": float(right.mean())}
        noisy = {name: row | answer for name, row in selections.items()}
        provenance = {"device": "cuda", "threads": 1, "precision": "bf16", "git_commit": "0", "torch_version": "2"}
        result: dict[str, Any] = {
            "cell_id": cell_id,
            "facts": facts,
            "class_names": [str(c) for c in range(classes)],
            "native_scale": 10.0,
            "selections": noisy,
        }
        result |= {
            "train_seconds": 1.0,
            "images_per_second": 1.0,
            "peak_memory_mb": 1.0,
            "provenance": provenance,
            "started_at": "",
            "finished_at": "",
        }
        store.write_result(folder, result, ["predictions.npz", "geometry.npz", "history.csv"])
        cells.append({"cell_id": cell_id, "not_applicable": None} | facts)
    store.write_plan(store.grid_folder(out, "many"), {"name": "many", "cells": cells})
    return len(cells)


def memory(process: int) -> int:
    """Return the proportional set size of a process and its descendants, in bytes; 0 for one that is gone."""
    try:
        own = next(
            int(line.split()[1])
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        )
        children = [
            int(child)
            for task in Path(f"/proc/{process}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (OSError, StopIteration):
        return 0
    return 1024 * own + sum(memory(child) for child in children)


def main() -> None:
    """Fill a store and print how long and how large its report is."""
    with tempfile.TemporaryDirectory() as folder:
        count = fill(Path(folder), SEEDS)
        start, peak = time.perf_counter(), 0
        command = [sys.executable, "bench.py", "report", "--grid", "many", "--out", folder]
        with subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                peak = max(peak, memory(process.pid))
                time.sleep(1)  # to look takes time of the cores that the report needs
        seconds, page = time.perf_counter() - start, Path(folder) / "many" / "report.html"
        print(
            f"{count} cells: {seconds:.0f} s, {peak / 2**30:.2f} GiB in all processes, page "
            f"{page.stat().st_size / 2**20:.0f} MiB"
        )


if __name__ == "__main__":
    main()
