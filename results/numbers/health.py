"""The health of a cell: what is told from its training, which of it is a mark, and which cells may speak for their
head.

A mark says that the recipe was beyond the edge of this head with this seed; then its accuracy says nothing about the
head. A gradient that rises once without a trace in the loss is recorded and no mark: the first steps of a margin loss
have gradients 20 times the median of their epoch.
"""

import math
from typing import Any

import pandas as pd

# Of the chance level, what the loss must have gained; of the way from the share of the largest class to 1, what the
# accuracy must have gone. With neither, nothing was learned.
LEAST_GAIN, LEAST_ACCURACY = 0.02, 0.05
# How far the loss may rise above that of an untrained network, in parts of it, or of all that the loss fell where that
# is more.
MOST_EXCESS = 0.25
# Part of the best epoch's accuracy above chance that the last epoch must have kept.
LEAST_KEPT = 2 / 3
# Part of the features that C classes need, min(d, C - 1), that must vary.
LEAST_ALIVE = 0.5

OK, UNFIT = "ok", "unfit rate"
# The words of the marks, as they stand in the column ``health``, and what each means.
MARKS = {
    "not learned": "the loss ended within 2 % of the chance level of its own objective, and the training accuracy near "
    "the share of the largest class; or that of an earlier stage did, whatever the accuracy",
    "diverged": "over ten successive steps the loss was 25 % above that of an untrained network",
    "fell back": "the last epoch kept less than two thirds of what the best epoch on validation had above chance",
    "dead features": "fewer than half as many features as the classes need, min(d, C - 1), differ between images",
    # Of a head under a recipe, not of one training: see :mod:`headbench.results.numbers.unfit_rates`.
    UNFIT: "at half or twice the recipe's learning rate the head is more than two points better on validation",
}


def assess(
    history: list[dict[str, Any]], measured: dict[str, float], num_classes: int, feature_dim: int
) -> dict[str, Any]:
    """Return a cell's health: its numbers and, as ``marks``, the words of :data:`MARKS` that apply. What is unknown
    (NaN) is no mark.

    Args:
        history: the rows of ``history.csv``.
        measured: of the last weights: ``trained_loss`` and ``chance_loss``, the head's loss of the training features
            and what it is without information; ``train_top1`` and ``largest_class``, in [0, 1]; ``dead_features``, the
            share of constant ones.
        num_classes: C.
        feature_dim: d.

    Returns:
        ``measured``; ``loss_excess``, see :data:`MOST_EXCESS`; ``gradient_spike``, the largest gradient by the median
        of its epoch; ``best_epoch`` on validation and ``kept``, see :data:`LEAST_KEPT`; ``marks``.
    """
    # An epoch of smaller images is validated on smaller ones, so its accuracy is another one.
    whole = [row for row in history if row.get("side") is None and not math.isnan(row.get("val_top1", math.nan))]
    best, kept = _kept([(row["epoch"], row["val_top1"]) for row in whole], 1 / num_classes)
    excess, spike = _excess(history), max((row.get("gradient_spike", math.nan) for row in history), default=math.nan)
    alive = (1 - measured["dead_features"]) * feature_dim
    found = {
        "not learned": _gained_nothing(measured) or _stage_gained_nothing(history),
        "diverged": excess > MOST_EXCESS,
        "fell back": kept < LEAST_KEPT,
        "dead features": alive < LEAST_ALIVE * min(feature_dim, num_classes - 1),
    }
    numbers = measured | {"loss_excess": excess, "gradient_spike": spike, "best_epoch": best, "kept": kept}
    return numbers | {"marks": [mark for mark, applies in found.items() if applies]}


def _gained_nothing(measured: dict[str, float]) -> bool:
    largest = measured["largest_class"]
    near = measured["train_top1"] - largest < LEAST_ACCURACY * (1 - largest)
    return near and _stayed(measured["trained_loss"], measured["chance_loss"])


def _stage_gained_nothing(history: list[dict[str, Any]]) -> bool:
    """Return whether a stage before the last one ended at chance: the classifier of the last one may learn something of
    features that nothing was learned in.
    """
    ends = {row["stage"]: row for row in history}
    return any(_stayed(row["train_loss"], row.get("chance_loss", math.nan)) for row in [*ends.values()][:-1])


def _stayed(loss: float, chance: float) -> bool:
    return chance - loss < LEAST_GAIN * abs(chance) or chance == loss


def _excess(history: list[dict[str, Any]]) -> float:
    """Return how far the loss rose above the level of an untrained network, at most over the stages, each of which has
    its own loss.
    """
    found = [math.nan]
    for stage in dict.fromkeys(row["stage"] for row in history):
        rows = [row for row in history if row["stage"] == stage and "worst_loss" in row]
        lowest = min((row["train_loss"] for row in rows), default=math.nan)
        for row in rows:
            level = max(
                (value for value in (rows[0]["first_loss"], row["chance_loss"]) if not math.isnan(value)),
                default=math.nan,
            )
            size = max(abs(level), level - lowest)
            found.append((row["worst_loss"] - level) / size if size else 0.0)
    return max((value for value in found if not math.isnan(value)), default=math.nan)


def _kept(accuracies: list[tuple[int, float]], chance: float) -> tuple[int | None, float]:
    """Return the best epoch, and the part of its accuracy above chance that the last epoch still has."""
    if not accuracies:
        return None, math.nan
    epoch, best = max(accuracies, key=lambda pair: (pair[1], -pair[0]))
    return epoch, (accuracies[-1][1] - chance) / (best - chance) if best > chance else math.nan


def words(health: dict[str, Any] | None) -> str | None:
    """Return the column ``health`` of a cell: ``ok``, or its marks.

    None for a cell of a time that recorded no health.
    """
    return None if health is None else "; ".join(health["marks"]) or OK


def with_unfit_rate(told: str | None) -> str:
    """Return the column ``health`` of a cell whose learning rate is known to be unfit for its head."""
    marks = [] if not isinstance(told, str) or told == OK else told.split("; ")
    return "; ".join([*marks, *([] if UNFIT in marks else [UNFIT])])


def without_unfit_rate(told: str | None) -> str | None:
    """Return the column ``health`` of a cell by its own training alone."""
    return ("; ".join(mark for mark in told.split("; ") if mark != UNFIT) or OK) if isinstance(told, str) else told


def sound(rows: pd.DataFrame) -> pd.Series:
    """Return which rows of ``results.csv`` (n,) may speak for their head: all but those of marked cells.

    Unknown health is no mark.
    """
    return rows["health"].isna() | (rows["health"] == OK)
