"""Two grids beside each other: the differences of the cells that they have in common, and what only one of them has."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from headbench.results import columns
from headbench.results.answers import Answers
from headbench.results.numbers import unfit_rates
from headbench.results.tables import paired, trust
from headbench.results.tables.base import Table, unmarked

# By which cells are paired, and no axis that the two may differ in.
PAIRED_BY = "seed"
# How verdicts begin of rows that became better or worse, and of those with a marked cell.
MOVED, OPEN = ("better", "worse", "these two networks differ"), ("no verdict on the heads",)


@dataclass(frozen=True)
class Side:
    """One of two grids.

    Attributes:
        name: for titles.
        rows: of ``results.csv``.
        answers: of its cells.
    """

    name: str
    rows: pd.DataFrame
    answers: Answers

    @property
    def done(self) -> pd.DataFrame:
        """The rows of finished cells, after the last epoch."""
        return columns.finished(self.rows)

    @property
    def left_out(self) -> list[str]:
        """A line for each cell that failed or is damaged."""
        return [
            f"{row.head_label} d={row.feature_dim} seed={row.seed}: {row.error}"
            for row in self.rows[self.rows["status"] == "failed"].itertuples()
        ]


@dataclass(frozen=True)
class Versus:
    """Two grids, compared.

    Attributes:
        differing: what sets the two apart as a whole, as sentences say it: of the first, of the second.
        table: of the rows in common, or None where there are none.
        moved: the rows that became better or worse, in words.
        open: the rows with a marked cell, of which no verdict is given, in words.
        only: what only the first has, and what only the second, in words.
        unpaired: rows in common that cannot be compared, in words.
    """

    differing: tuple[list[str], list[str]]
    table: Table | None
    moved: list[str]
    open: list[str]
    only: tuple[list[str], list[str]]
    unpaired: list[str]


def compare(first: Side, second: Side) -> Versus:
    """Return the differences of top-1 accuracy of two grids after the last epoch, second minus first.

    An axis in which each grid has a single value, and not the same, is what sets the two apart; rows that agree in all
    others are in common, and paired by their seeds.
    """
    one, two = first.done, second.done
    if set(one["head_label"]) & set(two["head_label"]):  # else one head is compared with another
        one, two = unfit_rates.unmarked(one), unfit_rates.unmarked(two)
    axes = [axis for axis in columns.AXES if axis.name != PAIRED_BY]
    values = {axis: [side[axis.name].unique() for side in (one, two)] for axis in axes}
    apart = [axis for axis, (ones, twos) in values.items() if len(ones) == 1 and len(twos) == 1 and ones[0] != twos[0]]
    keys = [axis for axis in axes if axis not in apart]
    groups = [_groups(side, keys) for side in (one, two)]
    common = [key for key in groups[0] if key in groups[1]]
    every = [*groups[0], *(key for key in groups[1] if key not in groups[0])]
    shown = _varied(keys, common)
    names = {key: _named(key, keys, shown if key in common else _varied(keys, every)) for key in every}
    found, unpaired = list[dict[str, Any]](), list[str]()
    for key in common:
        before, after = groups[0][key], groups[1][key]
        row = paired.difference(after, before, second.answers, first.answers)
        if not row:
            same = set(before["data_fingerprint"]) & set(after["data_fingerprint"])
            unpaired.append(f"{names[key]} ({'no seed in common, or a damaged cell' if same else 'other images'})")
            continue
        told = {axis.heading: axis.shown(value) for axis, value in zip(keys, key, strict=True) if axis in shown}
        accuracies = {
            place: 100 * part.loc[part[PAIRED_BY].isin(row["pair"].seeds), "top1"].mean()
            for place, part in (("first", before), ("second", after))
        }
        found.append({"name": names[key]} | told | accuracies | row)
    table = _table(found, [axis.heading for axis in shown]) if found else None
    only = tuple([names[key] for key in group if key not in other] for group, other in (groups, groups[::-1]))
    usual = [[axis for axis in apart if values[axis][number][0] != axis.usual] for number in (0, 1)]
    said = tuple([axis.said(values[axis][number][0]) for axis in usual[number]] for number in (0, 1))
    computed = [trust.precisions(side) for side in (one, two)]
    if all(computed) and computed[0] != computed[1]:
        for sentences, precisions in zip(said, computed, strict=True):
            sentences.append(f"precision {' and '.join(precisions)}")
    moved, without = ([], []) if table is None else (_said(table, MOVED), _said(table, OPEN))
    return Versus((said[0], said[1]), table, moved, without, (only[0], only[1]), unpaired)


def _groups(rows: pd.DataFrame, keys: list[columns.Column]) -> dict[tuple[Hashable, ...], pd.DataFrame]:
    """Return rows by their values in some columns, in order of appearance."""
    return {tuple(key): part for key, part in rows.groupby([axis.name for axis in keys], sort=False, dropna=False)}


def _varied(keys: list[columns.Column], groups: list[tuple[Hashable, ...]]) -> list[columns.Column]:
    """Return the columns in which groups differ, and always head and dimension."""
    return [
        axis for number, axis in enumerate(keys) if axis.role == "axis" or len({group[number] for group in groups}) > 1
    ]


def _named(key: tuple[Hashable, ...], keys: list[columns.Column], shown: list[columns.Column]) -> str:
    """Return a row in words: head, dimension, and what else varies."""
    return ", ".join(axis.said(value) for axis, value in zip(keys, key, strict=True) if axis in shown)


def _table(found: list[dict[str, Any]], index: list[str]) -> Table:
    """Return the table of the rows in common."""
    cells, tidy = paired.judged(found, "second minus first", index or ["name"])
    for place, side in enumerate(("first", "second")):
        cells.insert(place, side, tidy[side].map("{:.2f}".format).to_numpy())
    whose = "that of the first in points, last epoch"
    return Table("versus", paired.caption(tidy, whose), cells, unmarked(cells), tidy)


def _said(table: Table, verdicts: tuple[str, ...]) -> list[str]:
    """Return the rows whose verdict begins so, in words."""
    rows = table.tidy[table.tidy["verdict"].str.startswith(verdicts)]
    return [f"{row['name']}: {row['mean']:+.2f} points, {row['verdict']}" for _, row in rows.iterrows()]
