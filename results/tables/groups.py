"""The accuracy of heads on many, medium and few classes of a long tail."""

import math

import pandas as pd

from headbench.results import columns
from headbench.results.answers import Answers
from headbench.results.tables.base import (
    SELECTIONS,
    Table,
    badly_fitted,
    explained,
    marks,
    note_on_marks,
    over_seeds,
    primary,
    summaries,
)

# By training images, and by fixed ranges of the classes.
BY_COUNT = ("many_accuracy", "medium_accuracy", "few_accuracy")
BY_RANGE = ("many_range_accuracy", "medium_range_accuracy", "few_range_accuracy")
COST = ("image_views", "train_flops", "train_seconds")


def groups(rows: pd.DataFrame, answers: Answers, selection: str, description: str, name: str) -> Table:
    """Return the table of a long-tailed comparison: dimension and head down.

    Top-1, the accuracy of many, medium and few classes in both conventions, calibration and training compute across;
    what no cell has of the last two is left out. Where all cells were trained on one machine, by as many threads and as
    many at a time, the seconds are also shown in units of those of the first head at the same dimension.

    A group that no class belongs to is shown as ``-``. Only top-1 has bold values, since which images a head gets right
    is not kept by class.
    """
    told = [name for name in (f"ece_{primary(rows)}", "temperature", *COST) if rows[name].notna().any()]
    cells, tidy = summaries(rows, selection, columns.titles(("top1", *BY_COUNT, *BY_RANGE, *told)))
    first = str(rows["head_label"].iloc[0])
    timed = columns.narrow(rows[rows["train_seconds"].notna()], columns.MACHINE).drop_duplicates()
    if len(timed) == 1:
        cells[f"s / {first}"] = _relative(cells.index, tidy, first)
    bold = marks(cells, rows, answers, selection, columns.titles(["top1"]))
    conventions = "groups by training images (Liu et al., 2019) and by fixed class ranges (Zhong et al., 2021)"
    cost = " Image views and floating-point operations are those of training." if set(COST[:2]) & set(told) else ""
    caption = (
        f"Accuracy by group in %, {SELECTIONS[selection]}, {conventions}, {over_seeds(tidy)}.{explained(bold)}{cost} "
        f"{description}.{badly_fitted(rows) if 'temperature' in told else ''}{note_on_marks(tidy)}"
    )
    return Table(f"{name}-groups-{selection}", caption, cells, bold, tidy)


def _relative(index: pd.Index, tidy: pd.DataFrame, first: str) -> list[str]:
    """Return by how much the seconds of each dimension and head are those of the first head at that dimension."""
    seconds = tidy[tidy["metric"] == "train_seconds"].set_index(["feature_dim", "head_label"])["mean"]
    shares = [seconds[dim, head] / seconds.get((dim, first), math.nan) for dim, head in index]
    return ["-" if math.isnan(share) else f"{share:.2f}" for share in shares]
