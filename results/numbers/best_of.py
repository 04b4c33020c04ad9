"""The best of k trials of a search that made N: what a smaller search would have found.

Pure functions of the trials' values, of which more is better.
Every k of the N trials are as likely as any other to be the ones that were made.

Source: the expected best of k, Dodge et al., Show Your Work, EMNLP 2019, in the form without replacement, which is
unbiased for trials that are drawn independently: Tang et al., Showing Your Work Doesn't Always Work, ACL 2020.
"""

from dataclasses import dataclass

import numpy as np

from headbench.results.numbers.statistics import CONFIDENCE, Floats

# The best of more than half of the trials is the same whichever half it is, so that nothing is decided there.
DECIDED = 0.5


@dataclass(frozen=True)
class Best:
    """The best of k trials.

    Attributes:
        mean: over all choices of k of the N trials.
        low: lower end of what 95 % of these choices have as their best.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def chances(n: int, k: int) -> Floats:
    """Return (n,) chances that the best of k of n trials is the worst, ..., the best one: C(i - 1, k - 1) / C(n, k).

    Raises:
        ValueError: unless 1 <= k <= n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"the best of {k} of {n} trials")
    # Each from the next better one, so that no binomial overflows.
    places = np.arange(n - 1, 0, -1)
    falling = np.cumprod(np.append(k / n, np.maximum(places - k + 1, 0) / places))
    return falling[::-1]


def best_of(values: Floats, k: int) -> Best:
    """Return mean and interval of the best of k of (N,) values."""
    ordered, weights = np.sort(values), chances(len(values), k)
    ends = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    # The rounding of a sum never moves an end to the next value.
    low, high = np.searchsorted(np.cumsum(weights) + 1e-12, ends)
    return Best(float(weights @ ordered), float(ordered[low]), float(ordered[high]))


def ahead(first: Floats, second: Floats, k: int) -> float:
    """Return the chance that the best of k of the first values is above that of the second, ties counted half."""
    one, other = np.sort(first), np.sort(second)
    wins = (one[:, None] > other) + 0.5 * (one[:, None] == other)
    return float(chances(len(one), k) @ wins @ chances(len(other), k))


def leads(first: Floats, second: Floats) -> list[tuple[int, int]]:
    """Return at which budgets, of k = 1 ... the smaller N trials, the expected best of one search passes the other's.

    Returns:
        Pairs of the first such k of a stretch of budgets and who is ahead there: 1 for the first, -1 for the second.
        Budgets with equal bests belong to the stretch before.
    """
    stretches = list[tuple[int, int]]()
    for k in range(1, min(len(first), len(second)) + 1):
        apart = best_of(first, k).mean - best_of(second, k).mean
        sign = 0 if abs(apart) < 1e-12 else 1 if apart > 0 else -1
        if sign and (not stretches or stretches[-1][1] != sign):
            stretches.append((k, sign))
    return stretches


def turned(first: Floats, second: Floats) -> bool:
    """Say whether 95 % of the choices of trials agree that one search is ahead at one budget and the other at another.

    Only budgets of at most half of the trials count: the best of nearly all of them hardly depends on the choice.
    """
    known = [ahead(first, second, k) for k in range(1, max(1, int(DECIDED * min(len(first), len(second)))) + 1)]
    return max(known) >= (1 + CONFIDENCE) / 2 and min(known) <= (1 - CONFIDENCE) / 2
