"""Statistics of comparisons: exact tests, corrections, resampling, ranks. Pure functions of arrays."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

# Of every interval and verdict.
CONFIDENCE = 0.95
RESAMPLES = 1000
# Numbers in memory at a time.
BLOCK = 100_000


def holm(p_values: Floats) -> Floats:
    """Return Holm's adjusted p-values (m,) for m tests, NaN where there is none (Holm, 1979)."""
    adjusted = np.full(len(p_values), math.nan)
    order = np.argsort(p_values)[: int((~np.isnan(p_values)).sum())]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def mcnemar(first: Bools, second: Bools) -> float:
    """Return the exact two-sided p-value of McNemar's test for which samples (N,) two classifiers get right."""
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    return float(stats.binomtest(only_first, only_first + only_second).pvalue) if only_first + only_second else 1.0


def resampled_means(values: Floats, resamples: int = RESAMPLES) -> Floats:
    """Return (resamples,) means of values (n,), each over n samples drawn with replacement.

    The same draws for the same n.
    """
    n, rng = len(values), np.random.default_rng(0)
    means: list[Floats] = []
    while len(means) < resamples:
        # Many resamples at once, in a bounded block, take a fifth of the time.
        rows = min(resamples - len(means), max(1, BLOCK // n))
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        means += [count @ values / n for count in counts]
    return np.array(means)


def basic_interval(estimate: float, resampled: Floats) -> tuple[float, float]:
    """Return the basic bootstrap interval, of 95 %, of a quantity that is never negative.

    Resampling adds to the bias of a statistic as sampling did, so this interval mirrors the resampled values at the
    estimate.

    Args:
        estimate: from the samples.
        resampled: (resamples,) from resamples of them.

    Source: Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 5.2.
    """
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return max(0.0, 2 * estimate - float(high)), max(0.0, 2 * estimate - float(low))


@dataclass(frozen=True)
class Ranks:
    """Ranks of k heads over N data sets.

    Attributes:
        average: (k,), 1 is best; ties share.
        p: of the Friedman test, NaN for fewer than two data sets or three heads, or where all are tied on each.
        critical_difference: average ranks further apart than this differ at 5 % by Nemenyi's test, NaN where there is
            no Friedman test.
        n: data sets.
    """

    average: Floats
    p: float
    critical_difference: float
    n: int

    @property
    def said(self) -> str:
        """The p-value as a sentence says it."""
        return f"p = {self.p:.3f}" if self.p >= 0.001 else "p < 0.001"


def ranks(scores: Floats) -> Ranks:
    """Return average ranks, Friedman test and Nemenyi's critical difference of scores (N, k), the higher the better.

    Source: Demsar, JMLR 2006.
    """
    n, k = scores.shape
    average = stats.rankdata(-scores, axis=1).mean(axis=0)
    if n < 2 or k < 3:
        return Ranks(average, math.nan, math.nan, n)
    with np.errstate(invalid="ignore"):
        p = float(stats.friedmanchisquare(*scores.T).pvalue)
    critical = float(stats.studentized_range.ppf(0.95, k, np.inf)) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))
    return Ranks(average, p, critical, n)
