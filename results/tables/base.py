"""What tables share: the table itself, comparisons, summaries over seeds, and how a number is printed."""

import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from headbench.results import columns
from headbench.results.answers import Answers
from headbench.results.differences import not_separated
from headbench.results.numbers.health import sound
from headbench.results.tables.names import Names

SELECTIONS = {"last": "last epoch", "best_val": "best epoch on validation", "best_test": "best epoch on test (paper)"}
# Columns by which values are summarised over seeds.
KEYS = ["head_label", "feature_dim"]
# Of a mean: fewer than a double has, so that it prints alike in whatever order it was summed, and more than any number
# of images tells.
DIGITS = 12
# A temperature from fewer validation images is flagged.
ENOUGH = 1000
# Behind the number of a group with a marked cell.
SIGN = "†"
# Sentences of captions that explain the sign and bold numbers, a space before each.
MARKED = (
    f" {SIGN}: with a cell that did not learn properly, or whose learning rate is known to be unfit for its head, "
    "named at the top of the report; no verdict rests on it."
)
BOLD = (
    " Bold: not separated from the best of its dimension (p at least 0.05, Holm over all pairs of three common seeds, "
    "at all dimensions); where none is bold, none is separated, or seeds are too few to tell."
)
# Printed in place of a number by the state of what has none.
MISSING = {"not_applicable": "n/a", "failed": "failed", "pruned": "pruned", "absent": "absent"}
# Printed without their spread over seeds, so that the table stays narrow.
ALONE = {"ece_floor", "smooth_ece", "image_views", "train_flops", "train_seconds"}


# Description and rows of each comparison, by a short name for files.
Comparisons = Mapping[str, tuple[str, pd.DataFrame]]


@dataclass(frozen=True)
class Table:
    """A table to print.

    Attributes:
        name: of its files.
        caption: what is shown, with selection, protocol, recipe and backbone.
        cells: the printed text, heads (and dimensions) by column.
        bold: of the same shape, which cells are not separated from the best of their group.
        tidy: the numbers behind it, one row per value with mean, std and n.
    """

    name: str
    caption: str
    cells: pd.DataFrame
    bold: pd.DataFrame
    tidy: pd.DataFrame


def named_comparisons(frame: pd.DataFrame, names: Names | None = None) -> dict[str, tuple[str, pd.DataFrame]]:
    """Split a grid's rows into comparisons: by a short name for files, a description and its rows.

    The name is the data set's; behind that of further comparisons of a data set stands a number.
    """
    named, names = {}, names or Names()
    for _, rows in frame.groupby("dataset", sort=False):
        parts = dict(list(rows.groupby(columns.TOGETHER, sort=False, dropna=False)))
        for key, name in names.of(parts).items():
            named[name] = (describe(columns.TOGETHER, key), parts[key])
    return named


def describe(names: Sequence[str], key: Sequence[object]) -> str:
    """Return values of columns as a sentence says them, less those that are usual, and which bytes the images have."""
    told = {name: value for name, value in zip(names, key, strict=True) if name in columns.COMPARISON}
    return ", ".join(
        columns.NAMED[name].said(value) for name, value in told.items() if value != columns.USUAL.get(name)
    )


def at_largest_dim(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a comparison's last epochs, those of each head's largest dimension at which it was trained.

    Heads in the order of appearance.
    """
    last = rows[rows["selection"] == "last"]
    return last[last["feature_dim"] == last.groupby("head_label")["feature_dim"].transform("max")]


def of_selection(rows: pd.DataFrame, selection: str) -> pd.DataFrame:
    """Return the rows of one selection, and in place of each cell without it a row without numbers, whose status is
    ``absent`` for a cell that is done.
    """
    own = rows[rows["selection"] == selection]
    others = rows[~rows["cell_id"].isin(own["cell_id"])].drop_duplicates("cell_id")
    if others.empty:
        return own.sort_index(kind="stable")
    measured = [name for name in columns.names("metric", "interval") if name in rows]
    # Empty values of each column's own type.
    blank = others[measured].iloc[:0].reindex(others.index)
    others = others.assign(**blank, status=others["status"].replace("done", "absent"))
    return pd.concat([own, others]).sort_index(kind="stable")


def primary(rows: pd.DataFrame) -> str:
    """Return the calibration view to compare the heads of one comparison by: ``temperature``, or ``native`` where none
    was fitted.
    """
    return "temperature" if rows["temperature"].notna().any() else "native"


def badly_fitted(rows: pd.DataFrame) -> str:
    """Return a sentence on temperatures that few validation images fit badly, a space before it; nothing where none is
    fitted so.
    """
    fewest = rows.loc[rows["temperature"].notna(), "n_val"].min()
    if pd.isna(fewest) or fewest >= ENOUGH:
        return ""
    return f" Temperature fitted on {fewest} validation images; fewer than {ENOUGH:,} fit it badly."


def summarise(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return mean, standard deviation over seeds (ddof 1, NaN for one seed) and n by head and dimension, in order of
    appearance.

    Args:
        rows: of one comparison and one selection, with those of cells without it, see :func:`of_selection`.
        metric: a column.

    Returns:
        Columns ``head_label, feature_dim, mean, std, n, low, high, state, marked``; ``low`` and ``high`` are the
        metric's interval over test images, means of the seeds' ends, NaN where it has none; ``state`` is ``done``, or
        the status of cells without a value; ``marked`` where a cell is marked.
    """
    return summarised(rows, [metric])[metric]


def summarised(rows: pd.DataFrame, metrics: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Return the summary of each of several metrics, see :func:`summarise`."""
    ends = {metric: (f"{metric}_low", f"{metric}_high") for metric in metrics}
    rows = columns.narrow(rows, dict.fromkeys([*KEYS, "status", "health", *ends, *itertools.chain(*ends.values())]))
    groups = rows.assign(done=rows["status"] == "done", marked=~sound(rows)).groupby(KEYS, sort=False)
    state = groups["status"].first().mask(groups["done"].any(), "done").to_numpy()
    marked, summaries = groups["marked"].any().to_numpy(), dict[str, pd.DataFrame]()
    for metric, columns_of_ends in ends.items():
        summary = groups[metric].agg(mean="mean", std="std", n="count").reset_index()
        summary["mean"] = summary["mean"].round(DIGITS)
        for end, column in zip(("low", "high"), columns_of_ends, strict=True):
            summary[end] = groups[column].mean().to_numpy(dtype=float) if column in rows else np.nan
        summaries[metric] = summary.assign(metric=metric, state=state, marked=marked)
    return summaries


def printed(row: Mapping[Hashable, Any], usual: int, both: bool = False) -> str:
    """Print one record of :func:`summarise`: mean, std over seeds or the interval of a single one, or both, and n where
    it differs from the table's.
    """
    if row["n"] == 0:
        return MISSING.get(row["state"], "-")
    shown = columns.NAMED[row["metric"]].shown
    spread = f" ± {shown(row['std'])}" if row["n"] > 1 and row["metric"] not in ALONE else ""
    if not math.isnan(row["low"]) and (both or row["n"] == 1):
        spread += f" [{shown(row['low'])}, {shown(row['high'])}]"
    return (
        f"{shown(row['mean'])}{spread}"
        + ("" if row["n"] == usual else f" (n={row['n']})")
        + (f" {SIGN}" if row["marked"] else "")
    )


def note_in_figure(summary: pd.DataFrame, where: str) -> str:
    """Return what a caption of a figure says of heads with a marked cell; nothing where there are none.

    Args:
        summary: with the column ``marked``.
        where: what the figure does with them.
    """
    return f"Of heads with {SIGN} in the tables there is no verdict: {where}." if summary["marked"].any() else ""


def note_on_marks(summary: pd.DataFrame) -> str:
    """Return what a caption says of the sign of marked cells, where it occurs."""
    return MARKED if summary["marked"].any() else ""


def interval(mean: float, low: float, high: float) -> str:
    """Return a mean and its confidence interval as text."""
    return f"{mean:+.2f}" + ("" if math.isnan(low) else f" [{low:+.2f}, {high:+.2f}]")


def seeds_of(summary: pd.DataFrame) -> int:
    """Return how many seeds a summary's fullest value has."""
    return int(summary["n"].max()) if len(summary) else 0


def over_seeds(summary: pd.DataFrame) -> str:
    """Return what a caption says of the seeds: ``mean ± std over n = 3 seeds``, or ``n = 1 seed``."""
    return over(seeds_of(summary))


def over(seeds: int) -> str:
    """Return what a caption says of so many seeds."""
    return f"mean ± std over n = {seeds} seeds" if seeds > 1 else f"n = {seeds} seed"


def unmarked(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the ``bold`` of a table without bold values."""
    return pd.DataFrame(False, index=cells.index, columns=cells.columns)


def explained(bold: pd.DataFrame) -> str:
    """Return what a caption says of the bold values of a table, nothing where there are none."""
    return BOLD if bold.to_numpy().any() else ""


def summaries(
    rows: pd.DataFrame, selection: str, titles: dict[str, str], bounded: str = ""
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return printed cells and the tidy numbers of a table with dimension and head down and metrics across.

    Args:
        rows: of one comparison.
        selection: whose rows are shown.
        titles: of the metrics, in order; the first says how many seeds are usual.
        bounded: a metric that is printed with both, its spread over seeds and its interval over test images.
    """
    chosen = columns.finished(rows, selection)
    by_metric = {metric: own.set_index(KEYS[::-1]) for metric, own in summarised(chosen, titles).items()}
    first = by_metric[next(iter(titles))]
    usual = seeds_of(first)
    index = first.sort_index(level=0, sort_remaining=False, kind="stable").index.set_names(["d", "head"])
    records = {metric: summary.loc[index].to_dict("records") for metric, summary in by_metric.items()}
    cells = pd.DataFrame(
        {
            title: [printed(row, usual, metric == bounded) for row in records[metric]]
            for metric, title in titles.items()
        },
        index=index,
    )
    return cells, pd.concat([summary.reset_index() for summary in by_metric.values()], ignore_index=True)


def marks(
    cells: pd.DataFrame, rows: pd.DataFrame, answers: Answers, selection: str, titles: dict[str, str]
) -> pd.DataFrame:
    """Return the ``bold`` of such a table: in these metrics the heads that are not separated from the best of their
    dimension.
    """
    chosen = columns.finished(rows, selection)
    bold = unmarked(cells)
    for metric, title in titles.items():
        found = not_separated(chosen, answers, metric)
        bold[title] = [found.get(key, False) for key in cells.index]
    return bold
