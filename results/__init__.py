"""Results: store of cells, metrics, tables, figures, report. Needs no torch and nothing else of the harness."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load(out: str | Path, grid: str) -> "pd.DataFrame":
    """Return all rows of a grid, see :func:`headbench.results.grid_rows.load`."""
    # Imported here, since a process that trains needs the store alone, and pandas takes half a second.
    from headbench.results import grid_rows

    return grid_rows.load(Path(out), grid)
