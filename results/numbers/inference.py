"""Inference about two heads: how far a difference would move with new trainings and new test images.

Pure functions of arrays, all in fractions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import stdtr, stdtrit

from headbench.results.numbers.statistics import CONFIDENCE, Bools, Floats

# Fewer seeds give an interval but no verdict.
SEEDS = 3
# A difference that lies wholly within so many points (as a fraction) is a tie.
TIE = 0.005
POWER = 0.8
# More seeds than this are not asked for.
MOST_SEEDS = 1000
# Degrees of freedom that the spread over seeds of a whole table counts for in each of its rows: with more, a family
# with a head that spreads farther than others has false verdicts too often, as the tests simulate.
BORROWED = 4
# Of what neither seeds nor images explain, relative to all: below it is rounding.
ROUNDING = 1e-12
# Degrees of freedom beyond which Student's t is normal.
MANY = 1e8


@dataclass(frozen=True)
class Difference:
    """The difference of two heads, or the value of one.

    Attributes:
        mean: over seeds and images.
        error: standard error of the mean, for new seeds and new images; 0 where all differences are the same, NaN for
            one seed or one image.
        df: degrees of freedom of Student's t.
        low: lower end of the 95 % confidence interval, NaN for one seed or one image.
        high: upper end.
        seeds: n.
        images: N, 0 where the images are known by their variance alone.
        squares: mean squares of seeds, images and rest: the first two less the third are n N error^2; NaN where they
            are not known.
        image_variance: of the mean over new test images, where they are known by it alone.
        borrowed: what other differences say of the spread over seeds, see :func:`together`: its ratio to what seeds and
            images do not explain, and the degrees of freedom that it counts for.
    """

    mean: float
    error: float
    df: float
    low: float
    high: float
    seeds: int
    images: int
    squares: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    image_variance: float = 0.0
    borrowed: tuple[float, int] = (0.0, 0)

    def p(self, bound: float = 0.0) -> float:
        """Return the two-sided p-value of "the true difference is ``bound``"; NaN for one seed or one image.

        Holm's correction reads it far out in the tails. There Satterthwaite's degrees of freedom promise too much of
        few seeds: where their spread is small by chance, the images alone seem to count. So the seeds' part has a
        Student's t of its own, whose degrees of freedom are seeds - 1 and those that are borrowed. No verdict
        contradicts the interval: where the bound lies within it, p is at least what the interval says.

        Where all N images show the same difference, images that show another one have a share of at least |mean -
        bound| if the bound is true, and all N miss them with probability (1 - |mean - bound|)^N.

        Source: the Behrens-Fisher distribution, as a generalized p-value by Tsui & Weerahandi, JASA 84, 1989.
        """
        if math.isnan(self.error):
            return math.nan
        distance = abs(self.mean - bound)
        if self.error == 0:
            return min(1.0, 2 * max(0.0, 1 - distance) ** self.images)
        parts, own, (ratio, more) = self.parts(), self.seeds - 1, self.borrowed
        of_seeds = (own * parts.seeds + more * ratio * parts.unit) / (own + more)
        spread, weight = _spreads(own + more)
        variance = np.maximum(of_seeds / spread + parts.images - parts.rest, max(parts.images, parts.rest))
        p = min(1.0, float(weight @ (2 * stdtr(parts.df, -distance / np.sqrt(variance)))))
        of_interval = float(2 * stdtr(min(self.df, MANY), -distance / self.error))
        return p if of_interval < 1 - CONFIDENCE else max(p, of_interval)

    def parts(self) -> "Parts":
        """Return the parts of the variance of the mean, where it has any."""
        if self.images and math.isnan(self.squares[0]):
            return Parts(0.0, self.error**2, 0.0, 0.0, min(self.df, MANY))
        if self.images:
            seeds, images, rest = (square / (self.seeds * self.images) for square in self.squares)
            return Parts(seeds, images, rest, rest, self.images - 1.0)
        # The spread over seeds holds a part of that over images, nobody knows which.
        return Parts(max(self.error**2 - self.image_variance, 0.0), self.image_variance, 0.0, self.image_variance, MANY)


class Parts(NamedTuple):
    """The parts of the variance of a mean difference: of seeds, of images, and of neither, which both contain; what the
    first is compared with that of another difference by, 0 where by nothing; and the degrees of freedom of the second.
    """

    seeds: float
    images: float
    rest: float
    unit: float
    df: float


@cache
def _spreads(freedom: int) -> tuple[Floats, Floats]:
    """Return ratios (K,) of a mean square to the variance that it estimates and their weights (K,), which are those of
    chi-squared by its degrees of freedom, to tails of about 1e-20.
    """
    logs = np.linspace(-93 / freedom - 1, math.log1p(100 / freedom + 14 / math.sqrt(freedom)), 1000)
    weights = np.exp(freedom / 2 * (logs + 1 - np.exp(logs)))
    return np.exp(logs), weights / weights.sum()


def together(found: Sequence[Difference]) -> list[Difference]:
    """Return differences that are judged together, each with what all say of the spread over seeds.

    Three seeds know their own spread badly, and a family of tests finds the one in which it is small by chance. So each
    difference's is averaged with the mean of all, which counts for :data:`BORROWED` degrees of freedom, or for those of
    the others if they are fewer: as a ratio to what neither seeds nor images explain, or where images are known by
    their variance alone, to that.

    Source: moderated t-statistics, Smyth, Stat. Appl. Genet. Mol. Biol. 3, 2004, with a given weight of the prior.
    """
    borrowed = dict[bool, list[tuple[int, float]]]()
    parts = [one.parts() if one.error > 0 else None for one in found]
    seen = set[tuple[object, ...]]()
    for one, own in zip(found, parts, strict=True):
        # Heads with the same answers tell of one spread.
        known = (one.mean, one.error, one.seeds, one.images)
        if own is not None and own.unit > 0 and known not in seen:
            seen.add(known)
            borrowed.setdefault(one.images > 0, []).append((one.seeds - 1, own.seeds / own.unit))

    def informed(one: Difference) -> Difference:
        told = borrowed[one.images > 0]
        freedom = sum(own for own, _ in told)
        ratio = sum(own * spread for own, spread in told) / freedom
        return replace(one, borrowed=(ratio, min(BORROWED, freedom - one.seeds + 1)))

    return [informed(one) if own is not None and own.unit > 0 else one for one, own in zip(found, parts, strict=True)]


def compare(first: Bools, second: Bools | float) -> Difference:
    """Return the difference of accuracy of two heads on the same test images, trained with the same seeds.

    Seeds and images are crossed random effects: the variance of the mean is the spread of the seeds' means / n plus the
    spread of the images' means / N minus what both count twice, at least as large as either alone and as what neither
    explains; Satterthwaite's degrees of freedom. Where all n x N differences are the same, the interval is the exact
    binomial one of a share of images that was seen 0 times of N. No interval reaches beyond what accuracies can be.

    Args:
        first: (n, N), which test images the head gets right with each seed.
        second: the same of the other head, or a number that the accuracy of the first is compared with.

    Source: the two-way random model without replication, e.g. Searle, Casella & McCulloch, Variance Components, 1992,
    chapter 4; Satterthwaite, 1946.
    """
    against = isinstance(second, float)
    # Whole numbers: a report makes thousands of comparisons, and this is several times as fast as float64.
    differences = first.astype(np.int8) - (0 if against else np.asarray(second, dtype=np.int8))
    n, images = differences.shape
    by_seed, by_image, discordant = (
        differences.sum(axis=1, dtype=np.int64),
        differences.sum(axis=0, dtype=np.int64),
        np.count_nonzero(differences),
    )
    shared = float(by_seed.sum()) / (n * images)
    mean = shared - second if against else shared
    if n == 1 or images == 1:
        return Difference(mean, math.nan, math.nan, math.nan, math.nan, n, images)
    lowest, highest = mean - shared - 1, mean - shared + 1
    if discordant == 0 or abs(shared) == 1:
        half = 1 - ((1 - CONFIDENCE) / 2) ** (1 / images)
        return Difference(
            mean, 0.0, math.inf, max(mean - half, lowest), min(mean + half, highest), n, images, (0.0, 0.0, 0.0)
        )
    of_seeds = images * float(((by_seed / images - shared) ** 2).sum())
    of_images = n * float(((by_image / n - shared) ** 2).sum())
    rest = discordant - n * images * shared**2 - of_seeds - of_images
    rest = rest if rest > ROUNDING * discordant else 0.0
    squares = of_seeds / (n - 1), of_images / (images - 1), rest / ((n - 1) * (images - 1))
    error, df = _error(squares, n, images)
    half = _quantile(df) * error
    return Difference(mean, error, df, max(mean - half, lowest), min(mean + half, highest), n, images, squares)


def _quantile(df: float) -> float:
    """Return Student's t with so many degrees of freedom at the upper end of the interval (scipy.special's is a hundred
    times as fast as scipy.stats').
    """
    return float(stdtrit(min(df, MANY), (1 + CONFIDENCE) / 2))


def _error(squares: tuple[float, float, float], n: int, images: int) -> tuple[float, float]:
    """Return the standard error of the mean of (n, N) differences and its degrees of freedom."""
    seeds, columns, rest = squares
    total = max(seeds + columns - rest, seeds, columns, rest)
    parts = (seeds, n - 1), (columns, images - 1), (rest, (n - 1) * (images - 1))
    df = total**2 / sum(square**2 / freedom for square, freedom in parts)
    return math.sqrt(total / (n * images)), max(df, n - 1.0)


def of_values(values: Floats, image_variance: float) -> Difference:
    """Return the difference of a metric that is no mean over images, such as the ECE.

    The spread over seeds and the variance over images are added, though the first holds a part of the second: the
    interval is rather too wide.

    Args:
        values: (n,) differences by seed.
        image_variance: of the mean difference over new test images with the same networks.
    """
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Difference(mean, math.nan, math.nan, math.nan, math.nan, 1, 0)
    between = float(values.var(ddof=1)) / n
    variance = between + image_variance
    if variance == 0:
        return Difference(mean, math.nan, math.nan, math.nan, math.nan, n, 0)
    df = (n - 1) * min(variance / between, MANY) ** 2 if between else math.inf
    half = _quantile(df) * math.sqrt(variance)
    return Difference(mean, math.sqrt(variance), df, mean - half, mean + half, n, 0, image_variance=image_variance)


def verdict(found: Difference, p: float) -> str:
    """Return ``better``, ``worse``, ``tied`` or ``unresolved``; nothing for fewer than three seeds.

    Args:
        found: of the higher-is-better difference.
        p: of no difference, corrected for the family it is shown in.
    """
    if found.seeds < SEEDS or math.isnan(p):
        return ""
    if p < 1 - CONFIDENCE:
        return "better" if found.mean > 0 else "worse"
    return "tied" if found.low > -TIE and found.high < TIE else "unresolved"


def seeds_needed(found: Difference, distance: float) -> str:
    """Return how many seeds would show a true difference of ``distance`` with 80 % power, as ``at least N seeds``.

    The spread over seeds is its upper 80 % confidence bound, since few seeds know it badly, or what neither seeds nor
    images explain if that is more. The test images stay the same ones: their part of the error does not shrink with
    more seeds, and may be too large for any number of them. A true difference of 0 is never shown, however many.

    Args:
        found: at least two seeds.
        distance: from the mean to the bound that is asked about, above 0.
    """
    counts = np.arange(SEEDS, MOST_SEEDS + 1)
    if found.images:
        seeds, columns, rest = found.squares
        seeds = max(seeds * (found.seeds - 1) / stats.chi2.ppf(1 - POWER, found.seeds - 1), rest)
        fixed = max(columns - rest, 0) / (found.seeds * found.images)
        between = seeds / found.images
    else:
        fixed = found.image_variance
        spread = max(found.error**2 - fixed, 0.0)
        between = spread * found.seeds * (found.seeds - 1) / stats.chi2.ppf(1 - POWER, found.seeds - 1)
    variance = between / counts + fixed
    df = np.maximum(variance**2 * (counts - 1) / np.maximum((between / counts) ** 2, 1e-300), counts - 1)
    needed = stats.t.ppf((1 + CONFIDENCE) / 2, df) + stats.t.ppf(POWER, df)
    enough = counts[needed * np.sqrt(variance) < distance]
    if len(enough):
        return f"at least {max(int(enough[0]), found.seeds + 1)} seeds"
    return f"more than {MOST_SEEDS} seeds, or more test images"
