"""The health of finished cells: what is measured of a training, which of it is a mark, and which cells say something about their head."""

from typing import Any

import pandas as pd

# The words of the marks, as they stand in the column ``health``, and what each means.
MARKS = {
    "not learned": "the loss ended at the chance level of its own objective, and the accuracy on the training images near that of the largest class",
    "diverged": "in an epoch the mean loss was above that of an untrained network",
    "fell back": "the last epoch kept less than two thirds of what the best one had above chance on the images that choose",
    "dead features": "of the features that tell so many classes apart, min(d, C - 1), more than half are constant",
}
OK = "ok"


def words(health: dict[str, Any] | None) -> str | None:
    """Return the column ``health`` of a cell: ``ok``, or its marks; None for a cell of a time that recorded no health."""
    return None if health is None else "; ".join(health["marks"]) or OK


def sound(rows: pd.DataFrame) -> pd.Series:
    """Return which rows of ``results.csv`` (n,) may speak for their head: all but those of marked cells. Unknown health is no mark."""
    return rows["health"].isna() | (rows["health"] == OK)
