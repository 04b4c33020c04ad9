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
    trained = rows.loc[rows["imported"].isna(), ["cell_id", *TOLD]].reset_index(drop=True)
    tables, damaged = dict[int, pd.DataFrame](), list[str]()
    for place, cell_id in enumerate(trained["cell_id"]):
        try:
            tables[place] = pd.read_csv(store.read_file(store.cell_folder(out, cell_id), "history.csv"))
        except DamagedError as damage:
            damaged.append(f"{damage} and left out of the figures; remove the cell's result.json to train it again")
    if not tables:
        return pd.DataFrame(), damaged
    told = trained.loc[[place for place, table in tables.items() for _ in range(len(table))], list(TOLD)]
    epochs = pd.concat(tables.values(), ignore_index=True)
    return epochs.assign(**{name: told[name].to_numpy() for name in TOLD}), damaged
