"""Head against head: which test images one gets right and the other does not."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from headbench.results.answers import Answers
from headbench.results.compared import Comparison
from headbench.results.figures.base import Drawn, canvas, heads_of, lines, names_of, short, styles

PLACE = 3
# More pairs are not shown: then only those with the first head.
MOST = 15


@dataclass(frozen=True)
class Pair:
    """Two heads on the same test images, means over their common seeds.

    Attributes:
        first: a head's label.
        second: the other one's.
        both: images that both get right.
        only: images that only the first, and only the second gets right.
        neither: images that both get wrong.
    """

    first: str
    second: str
    both: float
    only: tuple[float, float]
    neither: float


def compared(comparison: Comparison) -> dict[str, Drawn | str]:
    """Return the figure of the heads of a comparison's largest dimension with at least two heads."""
    dims = comparison.last.groupby("feature_dim")["head_label"].nunique()
    shared = dims[dims > 1]
    if shared.empty:
        return {"images": "No figure of head against head: no dimension has two heads."}
    dim = int(shared.index.max())
    rows = comparison.last[comparison.last["feature_dim"] == dim]
    found = pairs(rows, comparison.answers)
    if not found:
        return {"images": f"No figure of head against head: no two heads of d = {dim} have a seed in common."}
    return {"images": images(found, rows, comparison.description, heads_of(comparison.rows))}


def pairs(rows: pd.DataFrame, answers: Answers) -> list[Pair]:
    """Return the counts of all pairs of heads, of very many heads only those with the first one.

    Args:
        rows: of one comparison, dimension and selection.
        answers: which test images the cells get right.
    """
    heads = {str(head): own.sort_values("seed") for head, own in rows.groupby("head_label", sort=False)}
    every = list(itertools.combinations(heads, 2))
    first = next(iter(heads))
    found = []
    for one, other in every if len(every) <= MOST else [pair for pair in every if first in pair]:
        seeds = set(heads[one]["seed"]) & set(heads[other]["seed"])
        known = [answers.of_rows(heads[head][heads[head]["seed"].isin(seeds)]) for head in (one, other)]
        if not seeds or known[0] is None or known[1] is None:
            continue
        right, right_too = (np.stack([answer.right for answer in own]) for own in known if own is not None)
        if right.shape != right_too.shape:
            continue
        alone = [float((a & ~b).sum(axis=1).mean()) for a, b in ((right, right_too), (right_too, right))]
        both, neither = (float(own.sum(axis=1).mean()) for own in (right & right_too, ~right & ~right_too))
        found.append(Pair(one, other, both, (alone[0], alone[1]), neither))
    return found


def images(found: list[Pair], rows: pd.DataFrame, description: str, heads: dict[str, str] | None = None) -> Drawn:
    """Draw of each pair how many test images only the one and only the other head gets right.

    Args:
        found: of :func:`pairs`, not empty.
        rows: of the comparison's dimension.
        description: of the comparison.
        heads: all of the comparison, as ``heads_of`` gives them, for a head to look alike in all figures; by default
            those of the rows.
    """
    looks, names = styles(heads or heads_of(rows)), names_of(rows)
    with canvas(0.25 + lines(1.9 * len(found)), wide=True) as figure:
        axis = figure.subplots()
        for height, pair in zip(-np.arange(len(found)), found, strict=True):
            for head, value, sign in zip((pair.first, pair.second), pair.only, (-1, 1), strict=True):
                axis.barh(height, sign * value, color=looks[head].colour, edgecolor="0.2", height=0.7)
                side = "right" if sign < 0 else "left"
                axis.annotate(
                    f"{short(names[head])} {f'{value:.1f}'.removesuffix('.0')}",
                    (sign * value, height),
                    (3 * sign, 0),
                    textcoords="offset points",
                    ha=side,
                    va="center",
                    fontsize="small",
                )
        reach = 2.4 * max(1.0, *(value for pair in found for value in pair.only))
        told = [f"both {pair.both:.0f}, neither {pair.neither:.0f}" for pair in found]
        axis.axvline(0, color="0.2", linewidth=0.8)
        axis.set(xlim=(-reach, reach), yticks=-np.arange(len(found)), yticklabels=told)
        axis.yaxis.tick_right()
        axis.set_xlabel("test images that only this head gets right")
        axis.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        axis.grid(visible=False, axis="y")
    count = rows["head_label"].nunique()
    few = f" Of {count} heads, the pairs with the first one." if count * (count - 1) / 2 > MOST else ""
    caption = (
        "Head against head: of the test images those that only the one and only the other head gets right; beside, "
        f"those that both and that neither gets right. Means over common seeds, last epoch. d = "
        f"{rows['feature_dim'].iloc[0]}.{few} {description}."
    )
    return Drawn(figure, caption)
