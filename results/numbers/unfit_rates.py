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
    """The heads that a recipe has the wrong rate for, on a data set and with a backbone; each named as in
    ``results.csv``.

    Attributes:
        dataset: label of the data set.
        backbone: label of the backbone.
        recipe: label of the recipe.
        heads: feature dimensions by the head's label.
    """

    dataset: str
    backbone: str
    recipe: str
    heads: dict[str, list[int]]


@cache
def load() -> tuple[Unfit, ...]:
    """Return the entries of ``unfit_rates.yaml``."""
    return TypeAdapter(tuple[Unfit, ...]).validate_python(yaml_files.read(FILE, FILE.name))


def mark(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of ``results.csv`` (n,) whose ``health`` says of each finished cell in ``unfit_rates.yaml`` that its
    rate is unfit; cells with tuned values have other rates.
    """
    rows = rows.copy()
    trained = (rows["status"] == "done") & ~(rows["tuned"] > 0)
    for entry in load():
        of_entry = trained & (
            rows[["dataset", "backbone", "recipe"]] == [entry.dataset, entry.backbone, entry.recipe]
        ).all(axis=1)
        if not of_entry.any():
            continue
        for head, dims in entry.heads.items():
            unfit = of_entry & (rows["head_label"] == head) & rows["feature_dim"].isin(dims)
            rows.loc[unfit, "health"] = rows.loc[unfit, "health"].map(health.with_unfit_rate)
    return rows
