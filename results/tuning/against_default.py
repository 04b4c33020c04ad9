"""Tuned cells against those with the grid's own values, on test."""

import pandas as pd

from headbench.results import columns
from headbench.results.answers import Answers
from headbench.results.numbers import unfit_rates
from headbench.results.tables import paired
from headbench.results.tables.base import SELECTIONS, Table, unmarked

# What tuned cells and those beside them have in common.
SAME = [name for name in columns.TOGETHER if name != "tuned"]


def table(default: pd.DataFrame, tuned: pd.DataFrame, answers: Answers, description: str, name: str) -> Table | None:
    """Return the table of differences of top-1 accuracy, tuned minus default, by dimension and head.

    Args:
        default: rows of the finished cells of one comparison, with the grid's own values.
        tuned: rows of cells that differ from them in their tuned values alone.
        answers: of both.
        description: of the comparison, for the caption.
        name: of the comparison, for the file.

    Returns:
        None where no head was trained with both.
    """
    found = []
    for (dim, head), own in _last(tuned).groupby(["feature_dim", "head_label"], sort=False):
        base = _last(default)
        base = base[(base["feature_dim"] == dim) & (base["head_label"] == head)]
        row = paired.difference(own, base, answers)
        found += [{"d": dim, "head": head} | row] if row else []
    if not found:
        return None
    found.sort(key=lambda row: row["d"])
    cells, tidy = paired.judged(found, "tuned minus default")
    budget = " and ".join(f"{trials}" for trials in sorted(_last(tuned)["tuned"].unique()))
    whose = f"that with the grid's own values in points, tuned with {budget} trials each, {SELECTIONS['last']}"
    return Table(f"{name}-tuned-pairs", f"{paired.caption(tidy, whose)} {description}.", cells, unmarked(cells), tidy)


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    # A rate that is unfit for its head is what tuning is there to mend.
    return unfit_rates.unmarked(rows[rows["selection"] == "last"])
