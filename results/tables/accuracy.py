"""The accuracy of heads by feature dimension."""

import pandas as pd

from headbench.results.answers import Answers
from headbench.results.differences import not_separated
from headbench.results.tables.base import (
    SELECTIONS,
    Table,
    explained,
    note_on_marks,
    of_selection,
    over_seeds,
    printed,
    seeds_of,
    summarise,
    unmarked,
)


def accuracy_by_dim(rows: pd.DataFrame, answers: Answers, selection: str, description: str, name: str) -> Table:
    """Return the accuracy-by-dimension table: heads down, dimensions across, top-1 in percent.

    Bold as :func:`headbench.results.differences.not_separated` says.
    """
    chosen = of_selection(rows, selection)
    summary = summarise(chosen, "top1")
    usual = seeds_of(summary)
    heads, dims = list(dict.fromkeys(summary["head_label"])), sorted(set(summary["feature_dim"]))
    cells = pd.DataFrame("-", index=pd.Index(heads, name="head"), columns=[f"d = {dim}" for dim in dims])
    bold = unmarked(cells)
    for row in summary.to_dict("records"):
        cells.loc[row["head_label"], f"d = {row['feature_dim']}"] = printed(row, usual)
    for (dim, head), mark in not_separated(chosen[chosen["status"] == "done"], answers).items():
        bold.loc[head, f"d = {dim}"] = mark
    caption = (
        f"Top-1 test accuracy in %, {SELECTIONS[selection]}, {over_seeds(summary)}.{explained(bold)} "
        f"{description}.{note_on_marks(summary)}"
    )
    return Table(f"{name}-accuracy-{selection}", caption, cells, bold, summary)
