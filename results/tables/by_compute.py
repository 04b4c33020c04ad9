"""The accuracy of heads against what their training cost, where a grid varies the recipe."""

from collections.abc import Sequence

import pandas as pd

from headbench.results import columns
from headbench.results.tables.base import (
    SELECTIONS,
    Comparisons,
    Table,
    describe,
    note_on_marks,
    of_selection,
    over_seeds,
    printed,
    seeds_of,
    summarised,
    unmarked,
)
from headbench.results.tables.by_recipe import APART
from headbench.results.tables.names import Names

SHOWN = ("top1", "train_flops", "image_views", "train_seconds")


def costing(rows: pd.DataFrame, names: Names | None = None) -> Comparisons:
    """Return what differs in the recipe alone, where the trainings of a head differ in cost: a description and its
    rows, by a name for files.
    """
    parts = {key: part for key, part in rows.groupby(APART, sort=False, dropna=False) if _differs(part)}
    named = (names or Names()).of(parts, "-compute")
    return {named[key]: (describe(APART, key), part) for key, part in parts.items()}


def _differs(part: pd.DataFrame) -> bool:
    if part["recipe"].nunique() == 1:
        return False
    costs = measured(part, "last").groupby(["head_label", "feature_dim"])["cost"].nunique()
    return bool((costs > 1).any())


def tables(rows: pd.DataFrame, selection: str, names: Names | None = None) -> list[Table]:
    """Return a table of all comparisons that differ in their recipe alone: dimension, head and recipe down, the
    cheapest training of a dimension first; bold is what no cheaper training reaches, the Pareto front.

    Args:
        rows: of a grid.
        selection: whose rows are shown.
        names: of the grid's tables.
    """
    return [_table(part, selection, description, name) for name, (description, part) in costing(rows, names).items()]


def _table(rows: pd.DataFrame, selection: str, description: str, name: str) -> Table:
    keys = ["feature_dim", "head_label", "recipe"]
    points = measured(rows, selection).sort_values(["feature_dim", "cost"], kind="stable").set_index(keys)
    chosen = of_selection(rows, selection)
    summaries = {metric: own.set_index(keys).loc[points.index] for metric, own in _by_recipe(chosen, SHOWN).items()}
    usual = seeds_of(points)
    known = {metric: own.reset_index() for metric, own in summaries.items() if own["n"].any()}
    # The sign of a marked cell stands once, behind its accuracy.
    printable = {metric: own if metric == "top1" else own.assign(marked=False) for metric, own in known.items()}
    titles = {metric: columns.NAMED[metric].heading for metric in known}
    cells = pd.DataFrame(
        {titles[metric]: [printed(row, usual) for row in own.to_dict("records")] for metric, own in printable.items()},
        index=points.index.set_names(["d", "head", "recipe"]),
    )
    bold = unmarked(cells)
    for _, own in points[~points["marked"]].groupby(level=0):
        bold.loc[front(own).index, titles["top1"]] = True
    caption = (
        f"Top-1 test accuracy in % against the compute of training, {SELECTIONS[selection]}, {over_seeds(points)}. "
        f"Bold: no training of that dimension that costs as little is more accurate, and none that costs less is as "
        f"accurate (the Pareto front of the means, no test).{without_cost(rows, selection)} "
        f"{description}.{note_on_marks(points)}"
    )
    tidy = pd.concat(known.values(), ignore_index=True)
    return Table(f"{name}-{selection}", caption, cells, bold, tidy)


def measured(rows: pd.DataFrame, selection: str, cost: str = "train_flops") -> pd.DataFrame:
    """Return a row per head, dimension and recipe whose accuracy and cost are known, the cheaper first: ``mean``
    accuracy over seeds, and ``cost`` in the unit of its column.
    """
    return _points(rows, selection, cost).dropna(subset="cost").sort_values("cost", kind="stable")


def without_cost(rows: pd.DataFrame, selection: str, costs: Sequence[str] = ("train_flops",)) -> str:
    """Return a sentence for each cost, with a space before it, that names the heads of which it is not known; nothing
    where it is of all.
    """
    said = ""
    for cost in costs:
        points = _points(rows, selection, cost)
        heads = dict.fromkeys(points.loc[points["cost"].isna(), "head_label"])
        which = "the cost is" if len(costs) == 1 else f"{columns.NAMED[cost].long} are"
        said += f" Not shown where {which} not known: {', '.join(heads)}." if heads else ""
    return said


def _points(rows: pd.DataFrame, selection: str, cost: str) -> pd.DataFrame:
    summaries = _by_recipe(of_selection(rows, selection), ("top1", cost))
    # The mean of equal numbers may differ from them in its last digits.
    costs = (summaries[cost]["mean"] / columns.NAMED[cost].unit).map(lambda mean: float(f"{mean:.9g}"))
    return summaries["top1"].assign(cost=costs).dropna(subset="mean")


def front(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points that no other is as good as in cost and accuracy and better in one, the cheapest first."""
    ordered = points.sort_values(["cost", "mean"], ascending=[True, False], kind="stable")
    cheapest = ordered["cost"] == ordered.groupby("mean")["cost"].transform("min")
    return ordered[(ordered["mean"] == ordered["mean"].astype(float).cummax()) & cheapest]


def _by_recipe(chosen: pd.DataFrame, metrics: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return by metric the summaries of each recipe beneath each other, of rows of one selection."""
    found = {recipe: summarised(part, metrics) for recipe, part in chosen.groupby("recipe", sort=False)}
    return {
        metric: pd.concat([own[metric].assign(recipe=recipe) for recipe, own in found.items()], ignore_index=True)
        for metric in metrics
    }
