"""By what a reader may filter a page: values that tables print, which ``filter.js`` hides by."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from headbench.core import escape
from headbench.results import columns

FILTERED = "head_label feature_dim seed dataset imbalance_factor".split()


@dataclass(frozen=True)
class Value:
    """A value to choose.

    Attributes:
        shown: as a table prints it.
        above: as a column's title says it.
    """

    shown: str
    above: str


@dataclass(frozen=True)
class Facet:
    """A column to filter by.

    Attributes:
        name: of the column.
        title: above its values.
        values: to choose from.
    """

    name: str
    title: str
    values: list[Value]


def facets(rows: pd.DataFrame) -> list[Facet]:
    """Return what the rows of one or several grids can be filtered by: each column of several values."""
    return [
        Facet(
            name,
            columns.NAMED[name].heading,
            [Value(printed(name, value), escape.plain(_above(name, value))) for value in _values(rows[name])],
        )
        for name in FILTERED
        if rows[name].nunique() > 1
    ]


def printed(name: str, value: Any) -> str:
    """Return a value of a column as tables print it."""
    return escape.plain(columns.NAMED[name].shown(value))


def _above(name: str, value: Any) -> str:
    column = columns.NAMED[name]
    return column.shown(value) if column.name == "head_label" else column.above(value)


def _values(column: "pd.Series[Any]") -> list[Any]:
    """Return the values of a column: numbers in their order, texts in that of the rows."""
    found = list(column.dropna().unique())
    return sorted(found) if pd.api.types.is_numeric_dtype(column) else found
