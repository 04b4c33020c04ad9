"""The accuracy of heads by recipe, where a grid varies it: shorter and longer trainings, other augmentations."""

import pandas as pd

from headbench.results import columns
from headbench.results.answers import Answers
from headbench.results.differences import not_separated
from headbench.results.tables.base import (
    SELECTIONS,
    Table,
    describe,
    explained,
    note_on_marks,
    of_selection,
    over_seeds,
    printed,
    seeds_of,
    summarise,
    unmarked,
)
from headbench.results.tables.names import Names

# What distinguishes the tables; within one also the recipe varies.
APART = [name for name in columns.TOGETHER if name != "recipe"]
VIEWS = columns.NAMED["image_views"]


def tables(rows: pd.DataFrame, answers: Answers, selection: str, names: Names | None = None) -> list[Table]:
    """Return a table for all comparisons that differ in their recipe alone: dimension and head down, recipes across.

    Behind each accuracy stand the image views of its training, which tell how far two recipes cost the same.
    Bold as :func:`headbench.results.differences.not_separated` says of the heads of one recipe; no test compares two
    recipes.

    Args:
        rows: of a grid.
        answers: of its cells.
        selection: whose rows are shown.
        names: of the grid's tables.
    """
    chosen = of_selection(rows, selection)
    parts = {key: part for key, part in chosen.groupby(APART, sort=False, dropna=False) if _varies(part)}
    named = (names or Names()).of(parts, "-recipes")
    return [_table(part, answers, selection, describe(APART, key), named[key]) for key, part in parts.items()]


def _varies(part: pd.DataFrame) -> bool:
    return bool(part.loc[part["status"] == "done", "recipe"].nunique() > 1)


def _table(rows: pd.DataFrame, answers: Answers, selection: str, description: str, name: str) -> Table:
    by_recipe = list(rows.groupby("recipe", sort=False))
    summaries = {str(recipe): _summary(part) for recipe, part in by_recipe}
    tidy = pd.concat([part.assign(recipe=recipe) for recipe, part in summaries.items()], ignore_index=True)
    usual = seeds_of(tidy)
    keys = tidy[["feature_dim", "head_label"]].drop_duplicates().sort_values("feature_dim", kind="stable")
    index = pd.MultiIndex.from_frame(keys, names=["d", "head"])
    cells = pd.DataFrame("-", index=index, columns=list(summaries))
    bold = unmarked(cells)
    for recipe, part in by_recipe:
        for row in summaries[str(recipe)].to_dict("records"):
            views = "" if not row["n"] or pd.isna(row["image_views"]) else f" at {VIEWS.shown(row['image_views'])}"
            cells.loc[(row["feature_dim"], row["head_label"]), str(recipe)] = printed(row, usual) + views
        for key, mark in not_separated(part[part["status"] == "done"], answers).items():
            bold.loc[key, str(recipe)] = mark
    behind = " Behind it the image views of training, in millions." if tidy["image_views"].notna().any() else ""
    caption = (
        f"Top-1 test accuracy in % by recipe, {SELECTIONS[selection]}, {over_seeds(tidy)}.{behind}{explained(bold)} "
        f"{description}.{note_on_marks(tidy)}"
    )
    return Table(f"{name}-{selection}", caption, cells, bold, tidy)


def _summary(rows: pd.DataFrame) -> pd.DataFrame:
    return summarise(rows, "top1").assign(image_views=summarise(rows, "image_views")["mean"])
