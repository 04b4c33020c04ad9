"""The epochs of cells, from their ``history.csv``."""

from pathlib import Path

import pandas as pd

from headbench.core.errors import DamagedError
from headbench.results import store

# What is told of the cell of an epoch.
TOLD = ("head", "head_label", "feature_dim", "seed", "num_classes")


def read(rows: pd.DataFrame, out: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the epochs of cells that were trained here, with what :data:`TOLD` names, and a line for each damaged
    file.

    Args:
        rows: one per cell.
        out: folder of the runs.
    """
    tables, damaged = [], []
    for _, row in rows[rows["imported"].isna()].iterrows():
        try:
            history = pd.read_csv(store.read_file(store.cell_folder(out, row["cell_id"]), "history.csv"))
        except DamagedError as damage:
            damaged.append(f"{damage} and left out of the figures; remove the cell's result.json to train it again")
            continue
        tables.append(history.assign(**{key: row[key] for key in TOLD}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(), damaged
