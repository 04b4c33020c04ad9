"""How well heads tell the test images of their data set from those of others."""

import pandas as pd

from headbench.results import columns
from headbench.results.numbers.ood import METRICS
from headbench.results.tables.base import (
    SELECTIONS,
    Comparisons,
    Table,
    note_on_marks,
    over_seeds,
    summaries,
    unmarked,
)

# What a caption says of the numbers.
EXPLAINED = (
    " AUROC: how often one of the first scores higher than one of the second, 50 for who guesses. FPR95: the part of "
    "the second above the score that 95 % of the first reach, lower is better. By the largest softmax probability, the "
    "energy (log sum exp) and the largest score, of cosine heads the largest cosine."
)


def tables(comparisons: Comparisons, measured: pd.DataFrame) -> list[Table]:
    """Return for each comparison a table of the means over all other data sets, where there are several, and one for
    each of them.

    Args:
        comparisons: of a grid.
        measured: the same for each set, see :func:`headbench.results.ood.frame.by_set`.
    """
    made, several = [], measured["ood"].nunique() > 1
    for name, (description, part) in comparisons.items():
        own = measured[measured["cell_id"].isin(part["cell_id"])]
        if several and len(own):
            made.append(_table(part, f"{name}-ood", description, f"the mean over {part['ood'].dropna().iloc[0]}"))
        for label, by_label in own.groupby("ood", sort=False):
            made.append(_table(by_label, f"{name}-ood-{label}" if several else f"{name}-ood", description, str(label)))
    return made


def _table(rows: pd.DataFrame, name: str, description: str, outside: str) -> Table:
    """Return a table: dimension and head down, AUROC and FPR95 by each score across."""
    cells, tidy = summaries(rows, "last", columns.titles(METRICS))
    missing = " Not computed: see docs/ood.md." if tidy["mean"].isna().any() else ""
    caption = (
        f"Out of distribution: test images of {rows['dataset'].iloc[0]} against {outside}, {SELECTIONS['last']}, in %, "
        f"{over_seeds(tidy)}.{EXPLAINED} {description}.{missing}{note_on_marks(tidy)}"
    )
    return Table(name, caption, cells.replace("-", "not computed"), unmarked(cells), tidy)
