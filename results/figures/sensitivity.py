"""How the places of heads move when one head, seed or data set is left out."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from headbench.results.figures.base import Drawn, canvas, heads_of, legend, lines, names_of, short, styles
from headbench.results.numbers.statistics import Bools
from headbench.results.tables import ranks

# What is left out, by the column whose values are, and how it is drawn.
KINDS = {"head_label": ("head", "|"), "seed": ("seed", "x"), "dataset": ("data set", "o")}
# Moves that the caption names.
NAMED = 6


def moves(rows: pd.DataFrame, selection: str) -> pd.DataFrame:
    """Return the place of each head with everything and with one head, seed or data set left out.

    A place is by average rank, 1 is best, ties share the mean of theirs. A head that is left out keeps the place that
    it had, so that no other one moves by its absence alone.

    Args:
        rows: of a grid; those of conditions that do not count with everything are left out throughout.
        selection: whose rows are ranked.

    Returns:
        Columns ``head_label``, ``kind`` and ``left_out`` (empty with everything) and ``place``; no rows where nothing
        can be ranked.
    """
    counted, _ = ranks.conditions(rows, selection)
    if not counted:
        return pd.DataFrame(columns=["head_label", "kind", "left_out", "place"])
    accuracies = ranks.accuracies(counted)
    whole = _places(accuracies)
    found = [whole.rename("place").reset_index().assign(kind="", left_out="")]
    for column, value, left in _left_out(accuracies):
        places = _places(left)
        if column == "head_label":
            # A head at the place of the absent one comes to stand in the middle of both.
            better, level = whole[value] < whole[places.index], whole[value] == whole[places.index]
            places = places + better + 0.5 * level
        found.append(places.rename("place").reset_index().assign(kind=column, left_out=str(value)))
    return pd.concat(found, ignore_index=True)


def _left_out(accuracies: pd.DataFrame) -> Iterator[tuple[str, Any, pd.DataFrame]]:
    """Yield the column and value of what can be left out, each of at least two, with what is left."""
    heads = list(accuracies.columns)
    if len(heads) > 2:
        yield from (("head_label", head, accuracies.drop(columns=head)) for head in heads)
    for column in ("seed", "dataset"):
        own = accuracies.index.get_level_values(column)
        if own.nunique() > 1:
            yield from ((column, value, accuracies[_kept(accuracies, column, value)]) for value in own.unique())


def _kept(accuracies: pd.DataFrame, column: str, value: Any) -> Bools:
    """Return which accuracies are left without a value of a column; a condition that has a seed alone keeps it: without
    it the condition would be left out, not the seed.
    """
    kept: Bools = accuracies.index.get_level_values(column) != value
    if column == "seed":
        condition = accuracies.index.get_level_values("condition")
        kept |= ~condition.isin(condition[kept])
    return kept


def _places(accuracies: pd.DataFrame) -> "pd.Series[float]":
    """Return the place of each head by average rank."""
    return ranks.averages(accuracies).rank()


def sensitivity(found: pd.DataFrame, rows: pd.DataFrame) -> Drawn:
    """Draw the place of each head, and those that it has when something is left out.

    Args:
        found: of :func:`moves`, with something left out.
        rows: of the grid.
    """
    looks, names = styles(heads_of(rows)), names_of(rows)
    whole = found[found["kind"] == ""].set_index("head_label")["place"].sort_values(kind="stable")
    heights = {str(head): -place for place, head in enumerate(whole.index)}
    with canvas(0.25 + lines(1.6 * len(whole))) as figure:
        axis = figure.subplots()
        for head, own in found.groupby("head_label", sort=False):
            axis.plot(
                [own["place"].min(), own["place"].max()], [heights[str(head)]] * 2, color="0.7", linewidth=2, zorder=1
            )
        for number, (column, (word, marker)) in enumerate(KINDS.items()):
            own = found[found["kind"] == column]
            if len(own):
                shifted = [heights[head] + 0.22 * (number - 1) for head in own["head_label"]]
                open_one: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": "0.25", "markersize": 5}
                axis.plot(own["place"], shifted, marker, **open_one, label=f"without one {word}")
        for label, place in whole.items():
            axis.plot(
                place, heights[str(label)], looks[str(label)].marker, color=looks[str(label)].colour, markersize=5
            )
        axis.set(yticks=list(heights.values()), yticklabels=[short(names[head]) for head in heights])
        axis.set(xlabel="place by average rank (1 is best)", xticks=range(1, len(whole) + 1))
        legend(figure, *axis.get_legend_handles_labels())
    return Drawn(figure, f"{_told(found, whole, names)} An absent head keeps its place.")


def _told(found: pd.DataFrame, whole: "pd.Series[float]", names: dict[str, str]) -> str:
    """Return what a caption says: what is shown, and the largest moves."""
    apart = found[found["kind"] != ""]
    apart = apart.assign(move=(apart["place"] - apart["head_label"].map(whole)).abs())
    kinds = [KINDS[kind][0] for kind in KINDS if (apart["kind"] == kind).any()]
    text = (
        f"Places of the heads by average rank, coloured, and open those without one {' or without one '.join(kinds)}."
    )
    largest = apart[apart["move"] > 0].sort_values("move", ascending=False, kind="stable").head(NAMED)
    if largest.empty:
        return f"{text} None moves."
    said = [
        f"{names[head]} from {whole[head]:g} to {place:g} without {_without(kind, left_out, names)}"
        for head, kind, left_out, place in largest[["head_label", "kind", "left_out", "place"]].itertuples(index=False)
    ]
    return f"{text} The largest moves: {'; '.join(said)}."


def _without(kind: str, left_out: str, names: dict[str, str]) -> str:
    return {"head_label": names.get(left_out, left_out), "seed": f"seed {left_out}"}.get(kind, left_out)
