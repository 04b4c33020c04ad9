"""The accuracy of heads on many, medium and few classes of a long tail."""

import pandas as pd

from headbench.results.answers import Answers
from headbench.results.tables.base import (
    GROUPS,
    SELECTIONS,
    Table,
    explained,
    marks,
    note_on_marks,
    over_seeds,
    summaries,
)


def groups(rows: pd.DataFrame, answers: Answers, selection: str, description: str, name: str) -> Table:
    """Return the table of a long-tailed comparison: dimension and head down.

    Top-1 and the accuracy of many, medium and few classes in both conventions across.

    A group that no class belongs to is shown as ``-``. Only top-1 has bold values, since which images a head gets right
    is not kept by class.
    """
    cells, tidy = summaries(rows, selection, GROUPS)
    bold = marks(cells, rows, answers, selection, {"top1": GROUPS["top1"]})
    conventions = "groups by training images (Liu et al., 2019) and by fixed class ranges (Zhong et al., 2021)"
    caption = (
        f"Accuracy by group in %, {SELECTIONS[selection]}, {conventions}, {over_seeds(tidy)}.{explained(bold)} "
        f"{description}.{note_on_marks(tidy)}"
    )
    return Table(f"{name}-groups-{selection}", caption, cells, bold, tidy)
