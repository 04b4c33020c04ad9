"""Neural collapse of heads."""

import pandas as pd

from headbench.results import columns
from headbench.results.compared import Comparison
from headbench.results.numbers.collapse import NAMES
from headbench.results.tables.base import SELECTIONS, Table, note_on_marks, over_seeds, summaries, unmarked

PLACE = 2


def compared(comparison: Comparison) -> Table | None:
    """Return the table of a comparison, None where nothing was measured."""
    measured = comparison.rows["nc1"].notna().any()
    return table(comparison.rows, comparison.description, comparison.name) if measured else None


def table(rows: pd.DataFrame, description: str, name: str) -> Table:
    """Return the table of neural collapse: dimension and head down, NC1 to NC4 across, mean ± std over seeds.

    Args:
        rows: of one comparison, with cells of the selection ``last``.
        description: of the comparison.
        name: of the comparison, for the file.
    """
    cells, tidy = summaries(rows, "last", columns.titles(NAMES))
    caption = (
        f"Neural collapse of the training features, {SELECTIONS['last']}, {over_seeds(tidy)}: NC1 variation within "
        f"over between classes, NC2 deviation of "
        "angles and of lengths of class means from a simplex (all 0 at collapse), NC3 cosine of class means and class "
        "vectors, NC4 part of the images whose "
        f"prediction is the nearest class mean (both 1 at collapse). {description}.{note_on_marks(tidy)}"
    )
    return Table(f"{name}-collapse", caption, cells, unmarked(cells), tidy)
