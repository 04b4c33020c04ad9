"""What a reader of the page must know first: which cells trained unsoundly or were imported, what is absent,
and what is mixed.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from headbench.results.numbers import health
from headbench.results.tables.base import named_comparisons

# Cells that are named one by one; more are counted.
NAMED = 20


def lines(rows: pd.DataFrame, comparisons: Mapping[str, pd.DataFrame] | None = None) -> list[str]:
    """Return the lines for the rows of a grid: which finished cells are marked or imported, which selections are
    absent, and what is mixed.

    Args:
        rows: of the grid.
        comparisons: their rows by what they are called, where they have names of their own.
    """
    if comparisons is None:
        comparisons = {name: part for name, (_, part) in named_comparisons(rows).items()}
    cells = rows.drop_duplicates("cell_id")
    done = cells[cells["status"] == "done"]
    trained, imported = done[done["imported"].isna()], done[done["imported"].notna()]
    marked, unknown = done[~health.sound(done)], int(trained["health"].isna().sum())
    found = []
    if len(marked):
        words = [word for word in health.MARKS if marked["health"].str.contains(word, regex=False).any()]
        meaning = "; ".join(f"{word}: {health.MARKS[word]}" for word in words)
        found.append(
            f"{len(marked)} of {len(done)} done cells are marked and give no verdict on their heads: "
            f"{_named(marked, 'health')}. {meaning}."
        )
    elif len(trained) > unknown:
        found.append("No cell that is done is marked as unsound.")
    if unknown:
        found.append(
            f"The health of {unknown} of {len(trained)} done cells is unknown: they were trained before it was "
            "recorded."
        )
    if len(imported):
        found.append(
            f"Imported, so trained elsewhere, and known by their scores and what was said of them alone: "
            f"{_named(imported, 'imported')}."
        )
    absent = done[done["error"].notna()]
    if len(absent):
        found.append(f"Selections that are absent: {_named(absent, 'error')}.")
    found += [f"{name}: {told}." for name, part in comparisons.items() if (told := mixed(part))]
    found += [f"{name}: {told}." for name, part in comparisons.items() if (told := _unlike_seeds(part))]
    return found


def _unlike_seeds(rows: pd.DataFrame) -> str:
    """Return how many seeds the dimensions of one comparison have, where these differ; nothing where they do not."""
    done = rows[rows["status"] == "done"]
    seeds = done.groupby(["feature_dim", "head_label"])["seed"].nunique().groupby(level=0).agg(["min", "max"])
    if len(np.unique(seeds)) < 2:
        return ""
    told = [f"{' to '.join(map(str, dict.fromkeys(ends)))} at d = {dim}" for dim, *ends in seeds.itertuples()]
    return f"unlike numbers of seeds, {', '.join(told)}; means and intervals of fewer are less certain"


def mixed(rows: pd.DataFrame) -> str:
    """Return that cells of several precisions are in one comparison; nothing where they are not."""
    if len(computed := precisions(rows)) < 2:
        return ""
    told = " and ".join(computed)
    return f"cells of precision {told} are mixed in one comparison, a difference that no seed shows"


def precisions(rows: pd.DataFrame) -> list[str]:
    """Return the precisions that cells were trained in, in order; that of imported ones is not known."""
    trained = rows[rows["imported"].isna()]
    return sorted(trained["precision"].dropna().unique()) if "precision" in trained else []


def _named(cells: pd.DataFrame, why: str) -> str:
    told = [
        f"{row['head_label']} d = {row['feature_dim']} seed {row['seed']} on {row['dataset']} ({row[why]})"
        for _, row in cells.head(NAMED).iterrows()
    ]
    return ", ".join(told) + (f" and {len(cells) - NAMED} more" if len(cells) > NAMED else "")
