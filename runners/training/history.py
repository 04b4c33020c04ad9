"""The history of a cell while it is trained: ``history.csv`` grows by a line per epoch, readable at any moment."""

from pathlib import Path
from typing import Any

import pandas as pd

from headbench.results import store

NAME = "history.csv"


class Log:
    """The file of a cell's history.

    Args:
        folder: of the cell.
        rows: one per epoch, as they come; each has its own columns, and what it lacks stays empty in the file.
    """

    def __init__(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        self.path, self.rows = folder / NAME, rows
        self._written: list[str] = []

    def write(self) -> None:
        """Write all rows."""
        frame = pd.DataFrame(self.rows)
        store.write_text(self.path, frame.to_csv(index=False))
        self._written = list(frame.columns)

    def append(self) -> None:
        """Add the newest row to the file.

        The first time, which may be after a resume, and where the row has a new column, write all of them.
        """
        if not set(self.rows[-1]) <= set(self._written):
            self.write()
            return
        line = pd.DataFrame([self.rows[-1]], columns=self._written).to_csv(index=False, header=False)
        with self.path.open("a") as file:
            file.write(line)
