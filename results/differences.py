"""Differences of heads from a grid's rows: what pair tables, claims, ranks, bold and figures all rest on."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from headbench.results import columns
from headbench.results.answers import Answers
from headbench.results.numbers import health, inference
from headbench.results.numbers.inference import Difference
from headbench.results.numbers.statistics import CONFIDENCE, Floats, holm

# The columns that a difference needs, beside its metric.
NEEDED = (
    "cell_id selection head_label feature_dim seed data_fingerprint health ece_temperature ece_floor calibration_view"
).split()
# Metrics of the view that ``calibration_view`` names.
OF_THE_VIEW = {"nll", "brier", "ece_floor", "smooth_ece", "adaptive_ece", "classwise_ece", "mce"}
# Half a 95 % interval in standard deviations; asking scipy takes longer than all else of a difference.
Z = float(stats.norm.ppf(0.975))
# Metrics in which less is better.
ERRORS = {"nll", "brier", "ece_raw", "ece_native", "ece_temperature"}


@dataclass(frozen=True)
class Found:
    """A head's difference to another, or its value.

    Attributes:
        difference: head minus other, in the metric's unit (fractions).
        seeds: the common seeds, by which it is paired.
        marks: what is wrong with the training of a cell among them, so that it says nothing of its head; empty where
            nothing is.
        identical: whether both heads predict the same class for every test image with every common seed.
        alike: whether nothing tells the two apart with any common seed, so that a test of either is one of both. Of
            recorded rows it is known which images are right, not what is predicted.
    """

    difference: Difference
    seeds: tuple[int, ...]
    marks: str = ""
    identical: bool = False
    alike: bool = False

    @property
    def tested(self) -> bool:
        """Whether there is a p-value: not from fewer seeds than a verdict takes, nor of identical predictions, which
        need no test and are none of a family that Holm's correction is over.
        """
        return not self.identical and len(self.seeds) >= inference.SEEDS

    @property
    def p(self) -> float:
        """The p-value of no difference, judged alone; NaN where nothing is tested."""
        return self.difference.p() if self.tested else math.nan


def p_values(pairs: Sequence[Found]) -> Floats:
    """Return the p-values (m,) of no difference of pairs that are judged together, after Holm's correction; NaN where
    nothing is tested.
    """
    p = np.full(len(pairs), math.nan)
    tested = [number for number, pair in enumerate(pairs) if pair.tested]
    p[tested] = [one.p() for one in inference.together([pairs[number].difference for number in tested])]
    return holm(p)


def between(
    first: pd.DataFrame, second: pd.DataFrame, answers: Answers, metric: str = "top1", others: Answers | None = None
) -> Found | None:
    """Return the difference of two heads over their common seeds, or None where there is none or what it needs cannot
    be had.

    Accuracy is compared image by image, since both heads saw the same test images. Of other metrics only the interval
    over images is known; the two heads' are taken as independent, which makes the result rather too wide. Where it is
    not known, as of rows of earlier harnesses, nothing is compared.

    Args:
        first: rows of one head, dimension, comparison and selection, one per seed.
        second: the same of the other head.
        answers: of the grid's cells.
        metric: a column.
        others: of the second's cells, where they are in another folder of runs.
    """
    one, other = _of_common_seeds(first, second, metric)
    if one.empty or one["data_fingerprint"].tolist() != other["data_fingerprint"].tolist():
        return None
    if metric in OF_THE_VIEW and len(_views(one) | _views(other)) > 1:
        return None
    numbers, marks = tuple(map(int, one["seed"])), "; ".join(filter(None, map(unhealthy, (one, other))))
    if metric != "top1":
        values = one[metric].to_numpy(dtype=float) - other[metric].to_numpy(dtype=float)
        variance = image_variance(one, metric) + image_variance(other, metric)
        known = not np.isnan([*values, variance]).any()
        return Found(inference.of_values(values, variance), numbers, marks, alike=not values.any()) if known else None
    own, theirs = answers.of_rows(one), (others or answers).of_rows(other)
    if own is None or theirs is None:
        return None
    found = inference.compare(np.stack([answer.right for answer in own]), np.stack([answer.right for answer in theirs]))
    identical = all(a.digest == b.digest is not None for a, b in zip(own, theirs, strict=True))
    alike = all(np.array_equal(a.right, b.right) for a, b in zip(own, theirs, strict=True))
    return Found(found, numbers, marks, identical, alike)


def _views(rows: pd.DataFrame) -> set[str]:
    """Return the views that rows name, none where they are not told."""
    return set(rows["calibration_view"].dropna()) if "calibration_view" in rows else set()


def _narrow(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return rows with the columns that a difference needs."""
    return columns.narrow(rows, dict.fromkeys((*NEEDED, metric, f"{metric}_low", f"{metric}_high")))


def _of_common_seeds(first: pd.DataFrame, second: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the seeds that both have, in their order, with what a difference in a metric needs."""
    own, theirs = first["seed"].tolist(), second["seed"].tolist()
    if own == theirs == sorted(own):
        return first, second
    first, second = _narrow(first, metric), _narrow(second, metric)
    return (
        first[first["seed"].isin(theirs)].sort_values("seed"),
        second[second["seed"].isin(own)].sort_values("seed"),
    )


def alone(rows: pd.DataFrame, answers: Answers, threshold: float = 0.0) -> Found | None:
    """Return a head's own accuracy minus a threshold, or None where its answers cannot be had.

    Arguments as for :func:`between`.
    """
    own = answers.of_rows(rows)
    if not own:
        return None
    found = inference.compare(np.stack([answer.right for answer in own]), threshold)
    return Found(found, tuple(int(seed) for seed in rows["seed"]), unhealthy(rows))


def unhealthy(rows: pd.DataFrame) -> str:
    """Return the marked cells among rows with their marks, as ``psc, seed 0: diverged``.

    Nothing where all are sound.
    """
    # Most often so, and asked of each pair of heads.
    if {words for words in rows["health"] if isinstance(words, str)} <= {health.OK}:
        return ""
    marked = rows[~health.sound(rows)]
    return "; ".join(
        f"{head}, seed {seed}: {words}"
        for head, seed, words in marked[["head_label", "seed", "health"]].itertuples(index=False)
    )


def image_variance(rows: pd.DataFrame, metric: str) -> float:
    """Return the variance of a metric over test images, the mean over seeds, from the cells' 95 % intervals: the longer
    arm counts. NaN where no cell has one, 0 of a metric that has none.
    """
    if f"{metric}_low" not in rows:
        return 0.0
    value, low, high = (rows[f"{metric}{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
    squares = (np.fmax(value - low, high - value) / Z) ** 2
    known = ~np.isnan(squares)
    return float(np.where(known, squares, 0.0).sum() / known.sum()) if known.any() else math.nan


def by_head(rows: pd.DataFrame) -> dict[int, dict[str, pd.DataFrame]]:
    """Return rows by dimension, and there by head in the order of the rows."""
    return {
        int(str(dim)): {str(head): own for head, own in part.groupby("head_label", sort=False)}
        for dim, part in rows.groupby("feature_dim")
    }


def sharing(heads: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return those of several heads that have a seed in common: the one that most of them have.

    Args:
        heads: rows of one comparison, dimension and selection, by head.
    """
    seeds = {head: own["seed"].tolist() for head, own in heads.items()}
    most = Counter(itertools.chain(*seeds.values())).most_common(1)
    return {head: own for head, own in heads.items() if most and most[0][0] in seeds[head]}


def best_of(heads: dict[str, pd.DataFrame], metric: str) -> str:
    """Return the head that is ahead of the others, two of them by the mean of a metric over the seeds that both have:
    one with lucky seeds of its own is not ahead by these. The first of equals.

    Args:
        heads: of :func:`sharing`, at least one.
        metric: a column.
    """
    sign = -1 if metric in ERRORS else 1
    first, *others = heads
    for head in others:
        one, other = (part[metric].mean() for part in _of_common_seeds(heads[head], heads[first], metric))
        if sign * one > sign * other:
            first = head
    return first


@dataclass(frozen=True)
class Lead:
    """How the other heads stand to the best one of a dimension.

    Attributes:
        head: its label.
        behind: its difference to each other head that it can be compared with, by label.
        p_values: of these after Holm's correction; NaN where nothing is tested.
    """

    head: str
    behind: dict[str, Found]
    p_values: dict[str, float]


def against_best(heads: dict[int, dict[str, pd.DataFrame]], answers: Answers, metric: str = "top1") -> dict[int, Lead]:
    """Return how the heads stand to the best one of their dimension; no dimension without two that share a seed, nor
    one whose best calibration error a perfectly calibrated head would show too.

    Which head is the best is seen on the same test images, and each could have been it: so Holm's correction is over
    all pairs of heads at all dimensions, heads that nothing tells apart counted once. Over the pairs with the best
    alone too many of equal heads would be called worse.

    Args:
        heads: rows of one comparison and selection, by dimension and head.
        answers: of the grid's cells.
        metric: a column.
    """
    found = dict[int, tuple[str, dict[tuple[str, str], Found], dict[str, str]]]()
    tested = dict[tuple[int, str, str], Found]()
    for dim, every in heads.items():
        shared = sharing(every)
        first = best_of(shared, metric) if len(shared) > 1 else None
        if first is None or below_floor(shared[first], metric):
            continue
        pairs = {
            (one, other): pair
            for one, other in itertools.combinations(dict.fromkeys((first, *shared)), 2)
            if (pair := between(shared[one], shared[other], answers, metric)) is not None
        }
        copies = dict[str, str]()
        for (one, other), pair in pairs.items():
            if (pair.identical or pair.alike) and len(pair.seeds) == len(shared[one]) == len(shared[other]):
                copies.setdefault(other, copies.get(one, one))
        found[dim] = first, pairs, copies
        tested |= {(dim, *names): pair for names, pair in pairs.items() if copies.keys().isdisjoint(names)}
    corrected = dict(zip(tested, p_values(list(tested.values())), strict=True))
    standing = dict[int, Lead]()
    for dim, (first, pairs, copies) in found.items():
        behind = {other: pair for (one, other), pair in pairs.items() if one == first}
        # A copy of the best one has no test of its own.
        corrected[dim, first, first] = 1.0
        holms = {
            head: math.nan if pair.identical else float(corrected.get((dim, first, copies.get(head, head)), math.nan))
            for head, pair in behind.items()
        }
        standing[dim] = Lead(first, behind, holms)
    return standing


def not_separated(rows: pd.DataFrame, answers: Answers, metric: str = "top1") -> dict[tuple[int, str], bool]:
    """Return which heads are not separated from the best of their dimension: what a table prints in bold.

    A head is separated from the best if the difference has a p below 5 %, corrected as :func:`against_best` says, from
    at least three common seeds. Nothing is said of a head that has fewer, an unhealthy cell or no seed in common with
    most others, nor of a dimension where no head is separated, or one from the best that is ahead of it on the seeds
    that these two share.

    Args:
        rows: finished rows of one comparison and selection.
        answers: of the grid's cells.
        metric: a column.

    Returns:
        By ``feature_dim`` and ``head_label`` of the heads of which something is said: whether they are not separated,
            as the best is.
    """
    heads = judged(_narrow(rows, metric), metric)
    said, sign = dict[tuple[int, str], bool](), -1 if metric in ERRORS else 1
    for dim, best in against_best(heads, answers, metric).items():
        enough = [head for head, pair in best.behind.items() if len(pair.seeds) >= inference.SEEDS]
        apart = {head for head in enough if best.p_values[head] < 1 - CONFIDENCE}
        # On the seeds that these two share; on others it was behind, so that neither is the best.
        beaten = any(sign * best.behind[head].difference.mean < 0 for head in apart)
        if apart and not beaten:
            said |= {(dim, best.head): True} | {(dim, head): head not in apart for head in enough}
    return said


def judged(rows: pd.DataFrame, metric: str) -> dict[int, dict[str, pd.DataFrame]]:
    """Return the rows of each head by dimension, of those heads alone whose every cell is sound and has the metric."""
    fit = health.sound(rows) & rows[metric].notna()
    return {
        dim: {head: own for head, own in every.items() if fit[own.index].all()} for dim, every in by_head(rows).items()
    }


def at_the_floor(rows: pd.DataFrame, metric: str) -> list[int]:
    """Return the dimensions at which the best calibration error is one that a perfectly calibrated head would show too,
    so that :func:`not_separated` says nothing.
    """
    best = {dim: sharing(heads) for dim, heads in judged(rows, metric).items()}
    return [dim for dim, heads in best.items() if len(heads) > 1 and below_floor(heads[best_of(heads, metric)], metric)]


def below_floor(rows: pd.DataFrame, metric: str) -> bool:
    """Say whether a calibration error is one that a perfectly calibrated head would show too; of the view that the
    floor is of, never of another.
    """
    if "ece_floor" not in rows:
        return False
    view = "ece_temperature" if rows["ece_temperature"].notna().any() else "ece_native"
    return metric == view and bool(rows[metric].mean() <= rows["ece_floor"].mean())
