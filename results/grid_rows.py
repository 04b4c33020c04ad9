"""The rows of a grid: one per cell and selection, as a pandas frame.

``results.csv`` and ``results.parquet`` are its copies on disk.
"""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from headbench.core.errors import DamagedError, NewerError
from headbench.results import columns, store
from headbench.results.answers import Answers
from headbench.results.derived import as_csv
from headbench.results.numbers import health, unfit_rates
from headbench.results.ood.frame import means

# A result with others of these is that of another cell, and cannot stand beside those of its comparison.
SIZES = "data_fingerprint num_classes n_test feature_dim seed".split()
# What a plan tells of a cell; of what was measured it says nothing, whatever a result lacks.
PLANNED = (*columns.names("comparison", "axis", "fact"), "cell_id", "head_display")


def load(out: Path, grid: str) -> pd.DataFrame:
    """Return all rows of a grid that was started under ``out``.

    Args:
        out: folder of the runs.
        grid: the grid's name.

    Returns:
        A row per cell and selection for finished cells, one row for a failed, pruned or inapplicable cell, none for a
        cell that has not run; heads in the grid's order. Metrics are fractions in [0, 1]; ``nll`` is in nats; ``nc1``
        to ``nc4`` and ``ood_*`` belong to the selection ``last``, ``health`` to the cell. The ``error`` of a finished
        cell says which selection is absent, and why.

    Raises:
        FileNotFoundError: if the grid has no folder there.
        DamagedError: if the grid's own file is damaged. A damaged cell is a failed one, whose error says so.
    """
    return of_plan(out, store.read_plan(store.grid_folder(out, grid)))


def of_plan(out: Path, plan: dict[str, Any], answers: Answers | None = None) -> pd.DataFrame:
    """Return the rows of the cells of a plan, see :func:`load`.

    Args:
        out: folder of the runs.
        plan: what ``grid.yaml`` holds.
        answers: that learn those of the cells.
    """
    return unfit_rates.mark(stored(out, plan, answers))


def stored(out: Path, plan: dict[str, Any], answers: Answers | None = None) -> pd.DataFrame:
    """Return the rows of :func:`of_plan` as the cells' own files tell them: without the marks of unfit rates, which
    this harness knows, and another one may not. So they are what is kept and handed on.
    """
    heads = list(dict.fromkeys(cell["head_label"] for cell in plan["cells"]))
    cells = sorted(plan["cells"], key=lambda cell: heads.index(cell["head_label"]))
    rows = [row for cell in cells for row in _rows(out, plan, cell, answers)]
    frame = pd.DataFrame(rows, columns=columns.names())
    # A copy, since it lays columns of one type together: rows are then taken from all of them at once.
    return frame.astype(columns.TYPES).copy()


def _rows(out: Path, plan: dict[str, Any], cell: dict[str, Any], answers: Answers | None) -> list[dict[str, Any]]:
    folder = store.cell_folder(out, cell["cell_id"])
    common = {name: cell[name] for name in PLANNED if name in cell} | {"grid": plan["name"]}
    if cell["not_applicable"]:
        return [common | {"status": "not_applicable", "error": cell["not_applicable"]}]
    try:
        result = store.read_result(folder)
    except DamagedError as damage:
        return [common | {"status": "failed", "error": f"{damage}; run the grid again to train this cell anew"}]
    except NewerError as newer:
        return [common | {"status": "failed", "error": str(newer)}]
    if result is not None:
        other = [key for key in SIZES if result["facts"][key] != cell[key]] + ["purpose"] * ("purpose" in result)
        if other:
            wrong = (
                f"{folder / 'result.json'} is not of the grid's cell ({', '.join(other)}); remove it and run the "
                f"grid again"
            )
            return [common | {"status": "failed", "error": wrong}]
        if answers is not None:
            answers.learn(result)
        run = {name: result.get(name) for name in columns.names("run")}
        # What an earlier harness did not tell is NaN, as in a file of recorded rows.
        run |= {
            name: result["provenance"].get(name, columns.USUAL_OF_RESULTS.get(name, math.nan))
            for name in columns.names("provenance")
        }
        absent = "; ".join(f"no row '{name}': {reason}" for name, reason in result.get("absent", {}).items())
        run |= {"status": "done", "health": health.words(result.get("health"))} | ({"error": absent} if absent else {})
        outside = {"last": means(folder, plan.get("ood_sets", ()))}
        return [
            common | run | {"selection": name} | _known(measured) | outside.get(name, {})
            for name, measured in result["selections"].items()
        ]
    ending = store.read_ending(folder)
    return [] if ending is None else [common | {"status": ending[0], "error": ending[1]}]


def damaged(rows: pd.DataFrame, out: Path) -> list[str]:
    """Return a line for each cell whose results cannot be read, in order.

    Args:
        rows: of a grid.
        out: folder of its runs.
    """
    failed = rows[rows["status"] == "failed"]
    return [
        str(error)
        for cell_id, error in zip(failed["cell_id"], failed["error"], strict=True)
        if store.read_ending(store.cell_folder(out, cell_id)) is None
    ]


def _known(stored: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stored.items() if key in columns.NAMED}


def files(frame: pd.DataFrame) -> dict[str, bytes]:
    """Return the content of ``results.csv``, whose texts are escaped for spreadsheets, and of ``results.parquet``,
    where they are as they were.
    """
    return {
        "results.csv": as_csv(frame).encode(),
        "results.parquet": frame.to_parquet(index=False),
    }
