"""Rows of real runs that the docs show, kept as data: one CSV file per grid in ``results/measured/``."""

from pathlib import Path

import pandas as pd

from headbench.results import columns, former, grid_rows, store

FOLDER = Path(__file__).parent / "measured"
VERSIONS = ["dataset_version", "backbone_version", "head_version"]
# Two rows that agree in these are of the same experiment: the later one replaces the earlier.
EXPERIMENT = [*columns.names("comparison", "axis"), "precision", "selection"]


def collect(out: Path, grid: str) -> pd.DataFrame:
    """Return the rows of a grid's finished cells, as :func:`results.load` gives them, with the versions of data set,
    backbone and head.

    Raises:
        DamagedError: if a cell's own description is damaged.
    """
    rows = grid_rows.load(out, grid)
    done = rows[rows["status"] == "done"].reset_index(drop=True)
    cells = {cell_id: store.read_description(store.cell_folder(out, cell_id)) for cell_id in done["cell_id"].unique()}
    return done.assign(**{name: [cells[cell_id][name] for cell_id in done["cell_id"]] for name in VERSIONS})


def record(out: Path, grid: str, folder: Path) -> Path:
    """Add the rows of a grid's finished cells to its file, in place of earlier rows of the same experiments.

    Return the file.

    Raises:
        DamagedError: if a cell's own description is damaged.
    """
    file = folder / f"{grid}.csv"
    rows = collect(out, grid)
    if file.is_file():
        kept = load(file)
        known = set(rows[EXPERIMENT].astype(str).itertuples(index=False, name=None))
        fresh = [row not in known for row in kept[EXPERIMENT].astype(str).itertuples(index=False, name=None)]
        rows = pd.concat([kept[fresh], rows], ignore_index=True) if any(fresh) else rows
    store.write_text(file, rows.sort_values(EXPERIMENT, kind="stable").to_csv(index=False))
    return file


def load(file: Path) -> pd.DataFrame:
    """Return the rows of one file, with the columns and types of :func:`results.load` and the versions.

    A column that the file is too old for is NaN; one that only an earlier harness had comes last.
    """
    # Texts of hexadecimal digits are not the numbers that pandas would read where they have no letter, or an e.
    rows = pd.read_csv(file, dtype=dict.fromkeys(set(columns.NAMED).difference(columns.TYPES), str))
    rows = pd.DataFrame([former.completed(row) for row in rows.to_dict("records")])
    known = [*columns.names(), *VERSIONS]
    rows = rows.reindex(columns=[*known, *(column for column in rows if column not in known)])
    return rows.astype(columns.TYPES)
