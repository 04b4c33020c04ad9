"""What stands once at the top of a page in place of every caption."""

from collections.abc import Iterable

import pandas as pd

from headbench.results import columns
from headbench.results.tables import ood
from headbench.results.tables.base import BOLD, MARKED, Comparisons, describe

# Above every table it is said which epoch is meant where nothing else is.
USUAL = ", last epoch"
# What the first table that has it explains for all others.
ONCE = (ood.EXPLAINED,)


def facts(comparisons: Comparisons) -> tuple[str, dict[str, str]]:
    """Return what all comparisons have in common, and by its name what sets each apart, nothing where there is one."""
    firsts = {name: part.iloc[0] for name, (_, part) in comparisons.items()}
    shared = [column for column in columns.COMPARISON if len({str(row[column]) for row in firsts.values()}) == 1]
    others = [column for column in columns.COMPARISON if column not in shared]
    said = next((describe(shared, row[shared].tolist()) for row in firsts.values()), "")
    if len(firsts) == 1:
        return said, dict.fromkeys(firsts, "")
    return said, {name: describe(others, row[others].tolist()) or name for name, row in firsts.items()}


def seeds_of(rows: pd.DataFrame) -> int:
    """Return how many seeds the fullest number of finished cells has, 0 where there is none."""
    keys = [axis.name for axis in columns.AXES if axis.name != "seed"]
    return int(rows.groupby(keys, dropna=False)["seed"].nunique().max()) if len(rows) else 0


def shorter(caption: str, said: Iterable[str]) -> str:
    """Return a caption without what is said elsewhere."""
    for text in said:
        caption = caption.replace(text, "")
    return caption


def legend(captions: Iterable[str]) -> list[str]:
    """Return the sentences that explain signs, those that a caption has."""
    return [text for text in (BOLD, MARKED) if any(text in caption for caption in captions)]
