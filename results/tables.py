"""Comparison tables: accuracy by dimension and calibration, as text in Markdown, CSV and LaTeX."""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import rich.box
import rich.table
from tabulate import tabulate

from core import escape
from results.answers import Answers
from results.differences import not_separated
from results.health import sound

# What distinguishes one comparison from another: within one, only head, feature dimension and seed vary.
COMPARISON = ["dataset", "backbone", "recipe", "projection", "protocol", "imbalance_factor"]
SELECTIONS = {"last": "last epoch", "best_val": "best epoch on validation", "best_test": "best epoch on test (paper)"}
CALIBRATION = {
    "ece_raw": "ECE raw",
    "ece_native": "ECE native",
    "ece_temperature": "ECE temperature",
    "ece_floor": "floor",
    "smooth_ece": "smooth ECE",
    "temperature": "T",
    "nll": "NLL",
    "brier": "Brier",
}
# The convention of each group's bounds stands in its title.
GROUPS = {
    "top1": "top-1",
    "many_accuracy": "many (> 100)",
    "medium_accuracy": "medium (20-100)",
    "few_accuracy": "few (< 20)",
    "many_range_accuracy": "many (range)",
    "medium_range_accuracy": "medium (range)",
    "few_range_accuracy": "few (range)",
}
# A temperature from fewer validation images is flagged.
ENOUGH = 1000
# A cell with more characters is a sentence.
SENTENCE = 40
# More columns than this do not stand beside each other on a telephone.
NARROW = 6
# Behind the number of a group with a marked cell.
SIGN = "†"
# Printed without their spread over seeds, so that the table stays narrow.
ALONE = {"ece_floor", "smooth_ece"}
PERCENT = {*(name for name in CALIBRATION if "ece" in name), *GROUPS}


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


def named_comparisons(frame: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """Split a grid's rows into comparisons: by a short name for files, a description and its rows.

    The name is the data set's; where a data set has several comparisons, a number follows.
    """
    named = {}
    for dataset, rows in frame.groupby("dataset", sort=False):
        parts = list(rows.groupby(COMPARISON, sort=False, dropna=False))
        for number, (key, part) in enumerate(parts, start=1):
            named[str(dataset) if len(parts) == 1 else f"{dataset}-{number}"] = (_describe(key), part)
    return named


def _describe(key: tuple[object, ...]) -> str:
    dataset, backbone, recipe, projection, protocol, imbalance = key
    assert isinstance(imbalance, float | int)
    balance = "" if imbalance == 1 else f", imbalance factor {imbalance:g}"
    return f"{dataset}{balance}, {backbone}, recipe {recipe}, projection {projection}, protocol {protocol}"


def at_largest_dim(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a comparison's last epochs, those of each head's largest dimension at which it was trained; heads in the order of appearance."""
    last = rows[rows["selection"] == "last"]
    return last[last["feature_dim"] == last.groupby("head_label")["feature_dim"].transform("max")]


def summarise(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return mean, standard deviation over seeds (ddof 1, NaN for one seed) and n by head and dimension, in order of appearance.

    Args:
        rows: of one comparison and one selection, with the rows of failed and inapplicable cells.
        metric: a column.

    Returns:
        Columns ``head_label, feature_dim, mean, std, n, low, high, state, marked``; ``low`` and ``high`` are the metric's interval over test images, means of
        the seeds' ends, NaN where it has none; ``state`` is ``done``, or the status of cells without a value; ``marked`` where a cell is marked.
    """
    groups = rows.groupby(["head_label", "feature_dim"], sort=False)
    summary = groups[metric].agg(mean="mean", std="std", n="count").reset_index()
    for end in ("low", "high"):
        column = f"{metric}_{end}"
        summary[end] = groups[column].mean().to_numpy(dtype=float) if column in rows else np.nan
    done = groups["status"].agg(lambda status: "done" if (status == "done").any() else status.iloc[0]).reset_index(drop=True)
    marked = (~sound(rows)).groupby([rows["head_label"], rows["feature_dim"]], sort=False).any().to_numpy()
    return summary.assign(metric=metric, state=done, marked=marked)


def printed(row: Mapping[Hashable, Any], usual: int, both: bool = False) -> str:
    """Print one record of :func:`summarise`: mean, std over seeds or the interval of a single one, or both, and n where it differs from the table's."""
    if row["n"] == 0:
        return {"not_applicable": "n/a", "failed": "failed"}.get(row["state"], "-")
    factor, digits = (100, 2) if row["metric"] in PERCENT else (1, 3)
    spread = f" ± {factor * row['std']:.{digits}f}" if row["n"] > 1 and row["metric"] not in ALONE else ""
    if not math.isnan(row["low"]) and (both or row["n"] == 1):
        spread += f" [{factor * row['low']:.{digits}f}, {factor * row['high']:.{digits}f}]"
    return f"{factor * row['mean']:.{digits}f}{spread}" + ("" if row["n"] == usual else f" (n={row['n']})") + (f" {SIGN}" if row["marked"] else "")


def note_on_marks(summary: pd.DataFrame) -> str:
    """Return what a caption says of the sign of marked cells, where it occurs."""
    return f" {SIGN}: with a cell that trained unsoundly, named at the top of the report; no verdict rests on it." if summary["marked"].any() else ""


def interval(mean: float, low: float, high: float) -> str:
    """Return a mean and its confidence interval as text."""
    return f"{mean:+.2f}" + ("" if math.isnan(low) else f" [{low:+.2f}, {high:+.2f}]")


def _seeds(summary: pd.DataFrame) -> int:
    return int(summary["n"].max()) if len(summary) else 0


def over_seeds(summary: pd.DataFrame) -> str:
    """Return what a caption says of the seeds: ``mean ± std over n = 3 seeds``, or ``n = 1 seed``."""
    seeds = _seeds(summary)
    return f"mean ± std over n = {seeds} seeds" if seeds > 1 else f"n = {seeds} seed"


def accuracy_by_dim(rows: pd.DataFrame, answers: Answers, selection: str, description: str, name: str) -> Table:
    """Return the accuracy-by-dimension table: heads down, dimensions across, top-1 in percent; bold as :func:`results.differences.not_separated` says."""
    chosen = rows[(rows["selection"] == selection) | (rows["status"] != "done")]
    summary = summarise(chosen, "top1")
    usual = _seeds(summary)
    heads, dims = list(dict.fromkeys(summary["head_label"])), sorted(set(summary["feature_dim"]))
    cells = pd.DataFrame("-", index=pd.Index(heads, name="head"), columns=[f"d = {dim}" for dim in dims])
    bold = unmarked(cells)
    for row in summary.to_dict("records"):
        cells.loc[row["head_label"], f"d = {row['feature_dim']}"] = printed(row, usual)
    for (dim, head), mark in not_separated(chosen[chosen["status"] == "done"], answers).items():
        bold.loc[head, f"d = {dim}"] = mark
    caption = f"Top-1 test accuracy in %, {SELECTIONS[selection]}, {over_seeds(summary)}.{explained(bold)} {description}.{note_on_marks(summary)}"
    return Table(f"{name}-accuracy-{selection}", caption, cells, bold, summary)


def unmarked(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the ``bold`` of a table without bold values."""
    return pd.DataFrame(False, index=cells.index, columns=cells.columns)


def explained(bold: pd.DataFrame) -> str:
    """Return what a caption says of the bold values of a table, nothing where there are none."""
    return " Bold: not separated from the best of its dimension (p at least 0.05, Holm over all heads and dimensions)." if bold.to_numpy().any() else ""


def summaries(rows: pd.DataFrame, selection: str, titles: dict[str, str], bounded: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return printed cells and the tidy numbers of a table with dimension and head down and metrics across.

    Args:
        rows: of one comparison.
        selection: whose rows are shown.
        titles: of the metrics, in order; the first says how many seeds are usual.
        bounded: a metric that is printed with both, its spread over seeds and its interval over test images.
    """
    chosen = rows[(rows["selection"] == selection) & (rows["status"] == "done")]
    by_metric = {metric: summarise(chosen, metric).set_index(["feature_dim", "head_label"]) for metric in titles}
    first = by_metric[next(iter(titles))]
    usual = _seeds(first)
    index = first.sort_index(level=0, sort_remaining=False, kind="stable").index.set_names(["d", "head"])
    records = {metric: summary.loc[index].to_dict("records") for metric, summary in by_metric.items()}
    cells = pd.DataFrame({title: [printed(row, usual, metric == bounded) for row in records[metric]] for metric, title in titles.items()}, index=index)
    return cells, pd.concat([summary.reset_index() for summary in by_metric.values()], ignore_index=True)


def marks(cells: pd.DataFrame, rows: pd.DataFrame, answers: Answers, selection: str, titles: dict[str, str]) -> pd.DataFrame:
    """Return the ``bold`` of such a table: in these metrics the heads that are not separated from the best of their dimension."""
    chosen = rows[(rows["selection"] == selection) & (rows["status"] == "done")]
    bold = unmarked(cells)
    for metric, title in titles.items():
        found = not_separated(chosen, answers, metric)
        bold[title] = [found.get(key, False) for key in cells.index]
    return bold


def calibration(rows: pd.DataFrame, answers: Answers, selection: str, description: str, name: str) -> Table:
    """Return the calibration table: dimension and head down; accuracy, ECE in three views, its floor, smooth ECE, temperature, NLL and Brier score across.

    ECE in percent and debiased, in the primary view with its interval. Floor, smooth ECE, NLL and Brier score are those of the temperature view, or of the
    native one where there is no validation part. In bold ECE temperature, NLL and Brier score that are not separated from the best of their dimension, no ECE
    where the best is below its floor; the other views are not comparable between heads.
    """
    titles, view = {"top1": "top-1"} | CALIBRATION, primary(rows)
    cells, tidy = summaries(rows, selection, titles, f"ece_{view}")
    bold = marks(cells, rows, answers, selection, {metric: CALIBRATION[metric] for metric in ("ece_temperature", "nll", "brier")})
    n_val = rows.loc[rows["temperature"].notna(), "n_val"].min()
    few = view == "temperature" and n_val < ENOUGH
    if few:
        title = CALIBRATION["temperature"]
        cells[title] = cells[title].where(cells[title] == "-", cells[title] + "*")
    bins = rows["calibration_bins"].dropna().iloc[0]
    caption = (
        f"Calibration on the test set, {SELECTIONS[selection]}, {bins} bins, ECE and top-1 in %, {over_seeds(tidy)}. ECE is debiased; in brackets the 95 % "
        f"interval over test images, of the true ECE in the {view} view{_ends(tidy)}. Floor: the plain ECE that a perfectly calibrated head of the same "
        f"confidences shows on as many images. Smooth ECE is not debiased.{explained(bold)} {description}."
    )
    if few:
        caption += f" * Temperature fitted on {n_val} validation images; fewer than {ENOUGH:,} fit it badly."
    caption += note_on_marks(tidy)
    return Table(f"{name}-calibration-{selection}", caption, cells, bold, tidy)


def primary(rows: pd.DataFrame) -> str:
    """Return the calibration view to compare the heads of one comparison by: ``temperature``, or ``native`` where none was fitted."""
    return "temperature" if rows["temperature"].notna().any() else "native"


def _ends(tidy: pd.DataFrame) -> str:
    return ", means of the seeds' ends" if _seeds(tidy) > 1 else ", and of NLL and Brier score by the bootstrap"


def groups(rows: pd.DataFrame, answers: Answers, selection: str, description: str, name: str) -> Table:
    """Return the table of a long-tailed comparison: dimension and head down; top-1 and the accuracy of many, medium and few classes in both conventions across.

    A group that no class belongs to is shown as ``-``. Only top-1 has bold values, since which images a head gets right is not kept by class.
    """
    cells, tidy = summaries(rows, selection, GROUPS)
    bold = marks(cells, rows, answers, selection, {"top1": GROUPS["top1"]})
    conventions = "groups by training images (Liu et al., 2019) and by fixed class ranges (Zhong et al., 2021)"
    caption = f"Accuracy by group in %, {SELECTIONS[selection]}, {conventions}, {over_seeds(tidy)}.{explained(bold)} {description}.{note_on_marks(tidy)}"
    return Table(f"{name}-groups-{selection}", caption, cells, bold, tidy)


def of(frame: pd.DataFrame, answers: Answers) -> list[Table]:
    """Return every table of a grid: for each comparison, accuracy under each recorded selection, and calibration under the primary one."""
    tables = []
    for name, (description, rows) in named_comparisons(frame).items():
        recorded = [selection for selection in SELECTIONS if (rows["selection"] == selection).any()]
        tables += [accuracy_by_dim(rows, answers, selection, description, name) for selection in recorded]
        if "last" in recorded:
            tables.append(calibration(rows, answers, "last", description, name))
            if (rows["imbalance_factor"] != 1).any() or rows[["many_accuracy", "medium_accuracy", "few_accuracy"]].notna().any().sum() > 1:
                tables.append(groups(rows, answers, "last", description, name))
    return tables


def terminal(table: Table) -> rich.table.Table:
    """Return the table for a terminal, without its caption, narrow enough for five dimensions in 80 columns; long names of heads wrap, numbers do not."""
    shown = rich.table.Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    titles, rows = _flat(table)
    for place, title in enumerate(titles):
        name = place < table.cells.index.nlevels
        shown.add_column(escape.terminal(title), justify="left" if name else "right", no_wrap=not name, overflow="fold" if name else "ellipsis")
    for row in rows:
        shown.add_row(*(escape.terminal(text.replace(" ± ", "±"), "bold" if best else "") for text, best in row))
    return shown


def _flat(table: Table) -> tuple[list[str], list[list[tuple[str, bool]]]]:
    """Return the titles of a table's columns, those of its index first, and of each row the texts with whether they are bold."""
    cells, levels = table.cells.reset_index(), table.cells.index.nlevels
    bold = np.pad(table.bold.to_numpy(dtype=bool), ((0, 0), (levels, 0)))
    rows = [list(zip(map(str, row), marks, strict=True)) for row, marks in zip(cells.itertuples(index=False), bold.tolist(), strict=True)]
    return [str(title) for title in cells.columns], rows


def markdown(table: Table) -> str:
    """Return the table in Markdown, caption first."""
    titles, rows = _flat(table)
    texts = [[f"**{escape.markdown(text)}**" if best else escape.markdown(text) for text, best in row] for row in rows]
    printed = tabulate(texts, [escape.markdown(title) for title in titles], tablefmt="pipe", disable_numparse=True)
    return f"{escape.markdown(table.caption)}\n\n{printed}\n"


def latex(table: Table) -> str:
    """Return the table in LaTeX for the booktabs package."""
    titles, rows = _flat(table)
    # Sentences are broken into lines, so that a table of claims stays on its page.
    wide = [any(len(row[place][0]) > SENTENCE for row in rows) for place in range(len(titles))]
    columns = "".join("p{5cm}" if wide[place] else "l" if place < table.cells.index.nlevels else "r" for place in range(len(titles)))
    texts = [[rf"\textbf{{{escape.latex(text)}}}" if best else escape.latex(text) for text, best in row] for row in rows]
    head, *body = (" & ".join(["{}" + row[0] if row[0][:1] in {"[", "*"} else row[0], *row[1:]]) + r" \\" for row in [list(map(escape.latex, titles)), *texts])
    start = [r"\begin{table}", r"\centering", rf"\caption{{{escape.latex(table.caption)}}}", rf"\begin{{tabular}}{{{columns}}}"]
    return "\n".join([*start, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def csv(table: Table) -> str:
    """Return the numbers behind the table as CSV."""
    return with_texts(table.tidy, escape.csv).to_csv(index=False)


def with_texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a frame with its texts, also those of its titles, changed by a function; numbers stay."""
    texts = {str(name): frame[name].map(lambda value: change(value) if isinstance(value, str) else value) for name in frame.select_dtypes(exclude="number")}
    return frame.assign(**texts).rename(columns=change)


def html(table: Table) -> str:
    """Return the table as an HTML fragment. The cells of a column with a sentence are ``text``, a table with many columns or a sentence is ``wide``."""
    titles, rows = _flat(table)
    sentences = [any(len(row[place][0]) > SENTENCE for row in rows) for place in range(len(titles))]
    wide = " wide" if len(titles) > NARROW or any(sentences) else ""
    heads = "".join(f"<th{_kind(sentence)}>{escape.html(title)}</th>" for title, sentence in zip(titles, sentences, strict=True))
    cells = [[_html_cell(title, sentence, *cell) for title, sentence, cell in zip(titles, sentences, row, strict=True)] for row in rows]
    body = "".join(f"<tr>{''.join(row)}</tr>\n" for row in cells)
    kinds = f"names{table.cells.index.nlevels} {escape.file_name(table.name)}{wide}"
    return f'<table class="{kinds}">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>'


def _kind(sentence: bool) -> str:
    return ' class="text"' if sentence else ""


def _html_cell(title: str, sentence: bool, text: str, best: bool) -> str:
    shown = escape.html(text)
    return f'<td data-title="{escape.html(title)}"{_kind(sentence)}>{f"<b>{shown}</b>" if best else shown}</td>'
