"""Cells whose recipe has the wrong learning rate for their head, as ``unfit_rates.yaml`` says: they are marked."""

from functools import cache
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from headbench.core import yaml_files
from headbench.core.validation import Strict
from headbench.results.numbers import health

FILE = Path(__file__).parents[1] / "unfit_rates.yaml"


class Unfit(Strict):
    """The heads that a recipe has the wrong rate for; where it was measured, in the columns of ``results.csv``.

    Attributes:
        heads: feature dimensions by the head's label.
    """

    dataset: str
    backbone: str
    recipe: str
    imbalance_factor: float = 1
    protocol: str = "holdout-0.1"
    projection: str = "linear"
    freeze: str = "none"
    heads: dict[str, list[int]]

    @property
    def where(self) -> dict[str, str | float]:
        """The columns and their values."""
        return self.model_dump(exclude={"heads"})


@cache
def load() -> tuple[Unfit, ...]:
    """Return the entries of ``unfit_rates.yaml``."""
    return TypeAdapter(tuple[Unfit, ...]).validate_python(yaml_files.read(FILE, FILE.name))


def mark(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of ``results.csv`` (n,) whose ``health`` says of each finished cell in ``unfit_rates.yaml`` that its
    rate is unfit. Cells with tuned values have other rates, and imported ones are of other code.
    """
    rows = rows.copy()
    trained = (rows["status"] == "done") & ~(rows["tuned"] > 0) & rows["imported"].isna()
    for entry in load():
        there = trained & (rows["recipe"] == entry.recipe)
        if not there.any():
            continue
        # Which images are held out, which the protocol names last, does not matter to a rate.
        plain = rows[[*entry.where]].assign(protocol=rows["protocol"].str.partition(" ")[0])
        there &= (plain == [*entry.where.values()]).all(axis=1)
        for head, dims in entry.heads.items():
            unfit = there & (rows["head_label"] == head) & rows["feature_dim"].isin(dims)
            rows.loc[unfit, "health"] = rows.loc[unfit, "health"].map(health.with_unfit_rate)
    return rows


def unmarked(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows (n,) without that mark, for what compares a head with itself: no other head is put behind it."""
    return rows.assign(health=rows["health"].map(health.without_unfit_rate))
