"""The tables of the leaderboard: one for each comparison of each recorded grid, best head first at every dimension."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from headbench.results import columns, recorded
from headbench.results.answers import Answers
from headbench.results.differences import NEEDED
from headbench.results.numbers import inference
from headbench.results.tables import paired, published, trust
from headbench.results.tables.base import (
    Table,
    badly_fitted,
    describe,
    named_comparisons,
    primary,
    printed,
    summarised,
    unmarked,
)
from headbench.results.tables.groups import BY_COUNT

# Whose accuracy others are compared with, where it was trained.
REFERENCE = "psc"
# What was the same for all rows of a table is said above it, else it is a column.
MADE = "git_commit device precision epochs".split()


@dataclass(frozen=True)
class Board:
    """One table of the leaderboard.

    Attributes:
        grid: that recorded it.
        rows: of the comparison, of last epochs.
        title: data set and imbalance factor.
        judged: whether a head of it has a verdict.
        description: what else all rows have in common.
        table: of the heads.
        published: sources of the published numbers, and what is wrong with them.
        commands: that made the rows.
        facts: commits, machines and days of the rows.
    """

    grid: str
    rows: pd.DataFrame
    title: str
    judged: bool
    description: str
    table: Table
    published: list[str]
    commands: list[str]
    facts: str


def boards(folder: Path) -> list[Board]:
    """Return the tables of all recorded rows of a folder, those with more seeds first, then by data set and rows."""
    commands = recorded.commands(folder)
    loaded = {file: recorded.load(file) for file in sorted(folder.glob("*.csv"))}
    found = [
        _board(file.stem, part, recorded.answers(file, rows), commands.get(file.stem, []))
        for file, rows in loaded.items()
        for _, part in named_comparisons(rows[rows["selection"] == "last"]).values()
    ]
    return sorted(found, key=lambda own: (-own.rows["seed"].nunique(), own.title, -len(own.rows), own.grid))


def _board(grid: str, rows: pd.DataFrame, answers: Answers, commands: list[str]) -> Board:
    first = rows.iloc[0]
    above = ["dataset", "imbalance_factor"]
    beside = [name for name in columns.COMPARISON if name not in above]
    few = badly_fitted(rows).strip(" .").lower()
    described = "; ".join(filter(None, (describe(beside, [first[name] for name in beside]), trust.mixed(rows), few)))
    cells, judged, notes = _cells(rows, answers)
    days = sorted({str(when)[:10] for when in rows["started_at"]})
    facts = [f"{_title(name)} {columns.NAMED[name].shown(first[name])}" for name in MADE if rows[name].nunique() == 1]
    facts += [
        f"torch {', '.join(sorted(rows['torch_version'].dropna().unique()))}",
        " to ".join(dict.fromkeys((days[0], days[-1]))),
    ]
    return Board(
        grid,
        rows,
        describe(above, [first[name] for name in above]),
        judged,
        described,
        Table(f"{grid}-leaderboard", described, cells, unmarked(cells), rows),
        notes,
        commands,
        "; ".join(facts),
    )


def _cells(rows: pd.DataFrame, answers: Answers) -> tuple[pd.DataFrame, bool, list[str]]:
    """Return the printed table, best head first at every dimension, whether it has a verdict, and the footnotes of its
    published numbers.
    """
    long_tailed = rows["imbalance_factor"].iloc[0] > 1
    others = [*(BY_COUNT if long_tailed else ()), _error(rows), "nll"]
    summaries = summarised(rows, ["top1", *others])
    summary = summaries["top1"].sort_values(["feature_dim", "mean"], ascending=[True, False], kind="stable")
    keys = list(summary[["feature_dim", "head_label"]].itertuples(index=False, name=None))
    index = pd.MultiIndex.from_tuples([(head, dim) for dim, head in keys], names=["head", "d"])
    verdicts, differences = _verdicts(rows, answers)
    beside, notes = _published(rows)
    groups = rows.groupby(["feature_dim", "head_label"])
    shown: dict[str, list[str]] = {
        "seeds": [str(n) for n in summary["n"]],
        "top-1 %": _means(summaries["top1"], keys),
        f"minus {_reference(rows)}": [differences.get(key, "-") for key in keys],
        "verdict": [verdicts[key] for key in keys],
        "published / difference": [beside.get(key, "-") for key in keys],
    }
    for metric in others:
        title = columns.NAMED[metric].heading if not metric.endswith("_plugin") else f"plain ECE {primary(rows)} %"
        shown[title] = _means(summaries[metric], keys)
    for name in MADE:
        if rows[name].nunique() > 1:
            shown[_title(name)] = [
                ", ".join(map(columns.NAMED[name].shown, groups.get_group(key)[name].unique())) for key in keys
            ]
    told = {title: values for title, values in shown.items() if {*values} - {"-"}}
    return pd.DataFrame(told, index=index), bool(differences), notes


def _means(summary: pd.DataFrame, keys: list[tuple[int, str]]) -> list[str]:
    """Return the printed means of a metric; of accuracies and errors of calibration in percent."""
    records = summary.assign(low=math.nan, high=math.nan).to_dict("records")
    by_key = {(row["feature_dim"], row["head_label"]): row for row in records}
    return [printed(by_key[key], int(by_key[key]["n"])) for key in keys]


def _error(rows: pd.DataFrame) -> str:
    """Return the error of calibration that the rows have: the debiased one, or the plain one of earlier rows."""
    name = f"ece_{primary(rows)}"
    return name if rows[name].notna().any() else f"{name}_plugin"


def _reference(rows: pd.DataFrame) -> str:
    labels = list(rows["head_label"])
    return REFERENCE if REFERENCE in labels else str(labels[0])


def _verdicts(rows: pd.DataFrame, answers: Answers) -> tuple[dict[tuple[int, str], str], dict[tuple[int, str], str]]:
    """Return the verdict of each head at each dimension, or why there is none, and the differences that are known.

    Verdicts are those of the report's pairs: better, worse, tied or unresolved, by Holm's correction over the table.
    """
    reference, said, found = _reference(rows), dict[tuple[int, str], str](), list[dict[str, Any]]()
    rows = columns.narrow(rows, [*NEEDED, "top1"])
    parts: dict[Any, pd.DataFrame] = dict(list(rows.groupby(["feature_dim", "head_label"], sort=False)))
    for key, own in parts.items():
        dim, head = key
        base = parts.get((dim, reference), rows.iloc[:0])
        common = {*own["seed"]} & {*base["seed"]}
        if head == reference:
            said[key] = "the reference"
        elif base.empty:
            said[key] = f"no {reference} here: no verdict"
        elif len(common) < inference.SEEDS:
            said[key] = "one seed: no verdict" if len(common) == 1 else f"{len(common)} common seeds: no verdict"
        elif difference := paired.difference(own, base, answers):
            found.append({"d": dim, "head": head} | difference)
        else:
            said[key] = "no verdict: which images are right is not recorded"
    if not found:
        return said, {}
    cells, _ = paired.judged(found, "minus")
    keys = [(int(row["d"]), str(row["head"])) for row in found]
    verdicts, numbers = (
        dict(zip(keys, map(str, cells[title]), strict=True)) for title in ("verdict", cells.columns[0])
    )
    return said | verdicts, numbers


def _published(rows: pd.DataFrame) -> tuple[dict[tuple[int, str], str], list[str]]:
    """Return the published number beside each head and dimension, with the difference where both are of the same
    training, and a line for each source and footnote.
    """
    beside, notes = dict[tuple[int, str], str](), dict[str, str]()
    for row in _beside(rows):
        number = f"{row['published']:.2f}" + ("" if math.isnan(row["difference"]) else f" / {row['difference']:+.2f}")
        told = "; ".join(filter(None, (row["published_from"], row["footnote"])))
        mark = notes.setdefault(told, f"[{len(notes) + 1}]")
        beside[int(row["feature_dim"]), str(row["head_label"])] = f"{number} {mark}"
    return beside, [f"{mark} {told}" for told, mark in notes.items()]


def _beside(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for table in published.tables(rows, "last"):
        for row in table.tidy.to_dict("records"):
            if row["metric"] == "top1" and not math.isnan(row["published"]):
                yield {str(name): value for name, value in row.items()}


def _title(name: str) -> str:
    return {"device": "machine"}.get(name, columns.NAMED[name].heading)
