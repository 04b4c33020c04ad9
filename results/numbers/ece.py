"""The expected calibration error of finite samples: what chance alone shows, the estimate without it, and an interval
for the truth.

The plain ("plug-in") ECE averages absolute gaps, and noise makes each of them larger: a perfectly calibrated head shows
6 % on 360 images of ten hard classes. Everything here follows from one model of it: the gap of a bin is normal about
its true value, so the plug-in ECE has a known mean and spread for given true gaps. Of the true gaps only the sum is
asked for, the ECE; how it is spread over the bins is taken from what is seen, or as cautiously as the end needs it.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import ndtr

from headbench.results.numbers.calibration import Bins, Floats

# Two-sided 95 %.
Z = 1.959964
STEPS = 1001


@dataclass(frozen=True)
class Estimate:
    """What samples say about the ECE of the population that they come from.

    Attributes:
        plugin: the ECE of the samples, as the field publishes it.
        debiased: the ECE whose expected plug-in is the one seen, 0 where chance alone shows more.
        low: lower end of the 95 % interval of the true ECE, 0 where a calibrated head is not excluded.
        high: upper end.
    """

    plugin: float
    debiased: float
    low: float
    high: float


def floor(bins: Bins) -> float:
    """Return the plug-in ECE that a perfectly calibrated head with the same confidences shows on average, NaN without
    samples.

    The labels of a bin are taken as draws with its mean confidence; de Moivre's closed form of E|X - np| for a binomial
    X makes it exact.
    """
    used = bins.counts > 0
    n, p = bins.counts[used], np.clip(bins.confidence[used], 0, 1)
    deviations = 2 * n * p * (1 - p) * stats.binom.pmf(np.floor(n * p), n - 1, p)
    return float(deviations.sum() / n.sum()) if used.any() else math.nan


def estimate(bins: Bins) -> Estimate:
    """Return plug-in, debiased ECE and the interval of the true one over samples; all NaN without samples.

    Debiased: true gaps in proportion to the seen ones, as large as makes the expected plug-in the seen one. Lower end:
    as large as puts the seen plug-in at the upper 97.5 % of what they give; twice the variance is first taken off the
    squares of the gaps (once would make these unbiased: Kumar et al., NeurIPS 2019), so that few bins stand out and
    chance explains the more. Upper end: the seen plug-in at the lower 2.5 %, of gaps that are equal in units of their
    deviations: of all gaps with one sum these have the smallest plug-in, since its mean is convex in each.
    """
    used = bins.counts > 0
    if not used.any():
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    gaps = np.abs(bins.accuracy - bins.confidence)[used] * bins.counts[used] / bins.counts.sum()
    deviations, plugin = _deviations(bins), float(gaps.sum())
    errors = np.linspace(0, plugin + Z * math.sqrt((deviations**2).sum()), STEPS)
    mean, _ = _plugin(errors, _parts(gaps, deviations, 0), deviations)
    debiased = min(float(np.interp(plugin, mean, errors)), plugin)
    mean, spread = _plugin(errors, _parts(gaps, deviations, 2), deviations)
    low = min(float(np.interp(plugin, mean + Z * spread, errors)), debiased)
    mean, spread = _plugin(errors, deviations / deviations.sum(), deviations)
    possible = errors[mean - Z * spread <= plugin]
    return Estimate(plugin, debiased, low, min(1.0, max([plugin, *possible[-1:]])))


def _deviations(bins: Bins) -> Floats:
    """Return the standard deviation of each used bin's part of the ECE: of its labels, and of how many samples fall
    into it.

    One sample as the confidence has it and half a right and half a wrong one are added, since a bin of which all
    samples are right still has a spread.
    """
    used, total = bins.counts > 0, bins.counts.sum()
    n, confidence, accuracy = bins.counts[used], bins.confidence[used], bins.accuracy[used]
    likely = (n * accuracy + confidence + 0.5) / (n + 2)
    variance, share = likely * (1 - likely), n / total
    squares = np.maximum(0, (accuracy - confidence) ** 2 - variance / n)
    deviations: Floats = np.sqrt(share * (variance + (1 - share) * squares) / total)
    return deviations


def _parts(gaps: Floats, deviations: Floats, variances: int) -> Floats:
    """Return the bins' parts (bins,) of the sum of true gaps: as gap - variances x deviation^2 / gap, or as the
    deviations where nothing is left.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(gaps > 0, np.maximum(0, gaps - variances * deviations**2 / gaps), 0)
    shape: Floats = left if left.any() else deviations
    return shape / float(shape.sum())


def _plugin(errors: Floats, parts: Floats, deviations: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (k,) of the plug-in ECE where the true gaps are errors (k,) times parts
    (bins,): sums of folded normals.
    """
    u = errors[:, None] * parts / deviations
    means = math.sqrt(2 / math.pi) * np.exp(-(u**2) / 2) + u * (1 - 2 * ndtr(-u))
    return means @ deviations, np.sqrt(np.maximum(0, 1 + u**2 - means**2) @ deviations**2)
