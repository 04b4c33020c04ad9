"""The rows of a grid: one per cell and selection, as a pandas frame.

``results.csv`` and ``results.parquet`` are its copies on disk.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from headbench.core import escape
from headbench.core.errors import DamagedError, NewerError
from headbench.results import store
from headbench.results.numbers import collapse, health, metrics
from headbench.results.texts import with_texts

FACTS = (
    "dataset data_fingerprint protocol backbone projection head head_label head_options feature_dim num_classes "
    "imbalance_factor recipe recipe_hash seed epochs"
).split()
METRICS = (
    "top1 top5 macro_accuracy many_accuracy medium_accuracy few_accuracy many_range_accuracy medium_range_accuracy "
    "few_range_accuracy"
    " nll brier ece_raw ece_native ece_temperature ece_floor ece_raw_plugin ece_native_plugin ece_temperature_plugin"
    " smooth_ece adaptive_ece classwise_ece mce temperature native_scale calibration_view calibration_bins"
).split()
INTERVALS = [f"{metric}_{end}" for metric in metrics.INTERVALS for end in ("low", "high")]
RUN = "train_seconds images_per_second peak_memory_mb".split()
PROVENANCE = "device cells_per_device threads precision git_commit torch_version".split()
COLUMNS = [
    *("cell_id", "grid", "status", "health", "error"),
    *FACTS,
    *("selection", "epoch", "n_train", "n_val", "n_test"),
    *METRICS,
    *INTERVALS,
    *collapse.TITLES,
    "train_loss",
    *RUN,
    *PROVENANCE,
    *("started_at", "finished_at"),
]
# A result with others of these is that of another cell, and cannot stand beside those of its comparison.
SIZES = "data_fingerprint num_classes n_test feature_dim seed".split()
# Types that cells without a result, whose fields are empty, would otherwise change.
INTEGERS = (
    "feature_dim num_classes seed epochs epoch n_train n_val n_test cells_per_device threads calibration_bins".split()
)
FLOATS = [
    *(name for name in METRICS if name not in {"calibration_view", "calibration_bins"}),
    *INTERVALS,
    *collapse.TITLES,
    "train_loss",
    *RUN,
]


def load(out: Path, grid: str) -> pd.DataFrame:
    """Return all rows of a grid that was started under ``out``.

    Args:
        out: folder of the runs.
        grid: the grid's name.

    Returns:
        A row per cell and selection for finished cells, one row for a failed, pruned or inapplicable cell, none for a
        cell that has not run; heads in the grid's order. Metrics are fractions in [0, 1]; ``nll`` is in nats; ``nc1``
        to ``nc4`` belong to the selection ``last``, ``health`` to the cell. The ``error`` of a finished cell says which
        selection is absent, and why.

    Raises:
        FileNotFoundError: if the grid has no folder there.
        DamagedError: if the grid's own file is damaged. A damaged cell is a failed one, whose error says so.
    """
    plan = store.read_plan(store.grid_folder(out, grid))
    heads = list(dict.fromkeys(cell["head_label"] for cell in plan["cells"]))
    cells = sorted(plan["cells"], key=lambda cell: heads.index(cell["head_label"]))
    rows = [row for cell in cells for row in _rows(out, plan["name"], cell)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    # A copy, since it lays columns of one type together: rows are then taken from all of them at once.
    return frame.astype(dict.fromkeys(INTEGERS, "Int64") | dict.fromkeys(FLOATS, "float64")).copy()


def _rows(out: Path, grid: str, cell: dict[str, Any]) -> list[dict[str, Any]]:
    folder = store.cell_folder(out, cell["cell_id"])
    common = {key: value for key, value in cell.items() if key in COLUMNS} | {"grid": grid}
    if cell["not_applicable"]:
        return [common | {"status": "not_applicable", "error": cell["not_applicable"]}]
    try:
        result = store.read_result(folder)
    except DamagedError as damage:
        return [common | {"status": "failed", "error": f"{damage}; run the grid again to train this cell anew"}]
    except NewerError as newer:
        return [common | {"status": "failed", "error": str(newer)}]
    if result is not None:
        other = [key for key in SIZES if result["facts"][key] != cell[key]]
        if other:
            wrong = (
                f"{folder / 'result.json'} is not of the grid's cell ({', '.join(other)}); remove it and run the "
                f"grid again"
            )
            return [common | {"status": "failed", "error": wrong}]
        run = {key: result[key] for key in (*RUN, "started_at", "finished_at")} | {
            key: result["provenance"].get(key) for key in PROVENANCE
        }
        absent = "; ".join(f"no row '{name}': {reason}" for name, reason in result.get("absent", {}).items())
        run |= {"status": "done", "health": health.words(result.get("health"))} | ({"error": absent} if absent else {})
        return [
            common | run | {"selection": name} | _known(measured) for name, measured in result["selections"].items()
        ]
    ending = store.read_ending(folder)
    return [] if ending is None else [common | {"status": ending[0], "error": ending[1]}]


def _known(measured: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in measured.items() if key in COLUMNS}


def files(frame: pd.DataFrame) -> dict[str, bytes]:
    """Return the content of ``results.csv``, whose texts are escaped for spreadsheets, and of ``results.parquet``,
    where they are as they were.
    """
    return {
        "results.csv": with_texts(frame, escape.csv).to_csv(index=False).encode(),
        "results.parquet": frame.to_parquet(index=False),
    }
