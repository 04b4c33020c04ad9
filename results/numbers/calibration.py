"""Calibration: expected calibration errors, temperature, NLL and Brier score.

Functions of float64 probabilities (N, C) and labels (N,).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

BINS = 15
# Of what is fitted the least and the highest.
TEMPERATURES = (0.01, 100.0)


@dataclass(frozen=True)
class Bins:
    """Reliability by confidence, one entry per bin.

    Attributes:
        edges: (bins + 1,), bin i holds confidences in (edges[i], edges[i + 1]].
        counts: (bins,) samples.
        confidence: (bins,) mean confidence, NaN where empty.
        accuracy: (bins,) part that is right, NaN where empty.
    """

    edges: Floats
    counts: Ints
    confidence: Floats
    accuracy: Floats

    def ece(self) -> float:
        """Return the plug-in expected calibration error, |accuracy - confidence| averaged over samples.

        What is true of it: :mod:`headbench.results.numbers.ece`.
        """
        used = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[used]
        return float((gaps * self.counts[used]).sum() / self.counts.sum()) if used.any() else float("nan")

    def mce(self) -> float:
        """Return the maximum calibration error: the largest gap of a bin with samples, however few."""
        used = self.counts > 0
        return float(np.abs(self.accuracy - self.confidence)[used].max()) if used.any() else float("nan")


def bin_of(confidence: Floats, edges: Floats) -> Ints:
    """Return the bin (N,) of each confidence (N,): bins are closed on the right, exactly 0 belongs to the first."""
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2)


def reliability(confidence: Floats, correct: NDArray[np.bool_], edges: Floats) -> Bins:
    """Sort samples into right-closed bins of confidence.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) whether the sample is right.
        edges: (bins + 1,) ascending.
    """
    bins, which = len(edges) - 1, bin_of(confidence, edges)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(which, confidence, bins) / counts
        accuracy = np.bincount(which, correct.astype(np.float64), bins) / counts
    return Bins(edges, counts, mean_confidence, accuracy)


def top_label(probabilities: Floats, labels: Ints, bins: int = BINS) -> Bins:
    """Return the reliability of the predicted class in equal-width bins (Guo et al., ICML 2017)."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    return reliability(confidence, correct, np.linspace(0, 1, bins + 1))


def smooth_ece(probabilities: Floats, labels: Ints) -> float:
    """Return the SmoothECE of the predicted class by relplot, without bins but not debiased (Blasiok & Nakkiran, ICLR
    2024); NaN without samples.
    """
    # Takes a second to import, which only those pay who ask for it.
    from relplot.metrics import smECE

    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    return float(smECE(confidence, correct.astype(np.float64))) if len(labels) else float("nan")


def adaptive_ece(probabilities: Floats, labels: Ints, bins: int = BINS) -> float:
    """Return the plug-in ECE of the predicted class in bins of equal numbers of samples (Nixon et al., 2019).

    NaN without samples.
    """
    order = np.argsort(probabilities.max(axis=1), kind="stable")
    confidence, correct = probabilities.max(axis=1)[order], (probabilities.argmax(axis=1) == labels)[order]
    groups = [group for group in np.array_split(np.arange(len(labels)), bins) if len(group)]
    gaps = [abs(correct[group].mean() - confidence[group].mean()) * len(group) for group in groups]
    return float(sum(gaps) / len(labels)) if len(labels) else float("nan")


def classwise_ece(probabilities: Floats, labels: Ints, bins: int = BINS) -> float:
    """Return the mean over classes of the plug-in ECE of p_c against "is c" over all samples (Kull et al., NeurIPS
    2019).
    """
    edges = np.linspace(0, 1, bins + 1)
    return float(
        np.mean([reliability(probabilities[:, c], labels == c, edges).ece() for c in range(probabilities.shape[1])])
    )


def nll(logits: Floats, labels: Ints) -> Floats:
    """Return the negative log-likelihood (N,) in nats of logits (N, C)."""
    losses: Floats = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return losses


def brier(probabilities: Floats, labels: Ints) -> Floats:
    """Return sum_c (p_c - [c = y])^2 of each sample, (N,) in [0, 2]."""
    truth = np.eye(probabilities.shape[1])[labels]
    scores: Floats = ((probabilities - truth) ** 2).sum(axis=1)
    return scores


def probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """Return softmax(logits / temperature), (N, C)."""
    shares: Floats = softmax(logits / temperature, axis=1)
    return shares


def largest_probability(logits: Floats, temperature: float = 1.0) -> Floats:
    """Return the largest of :func:`probabilities` of each sample, (N,), in less than half the time, and in double
    precision whatever that of the logits is: cells of many scores store halves.
    """
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    largest: Floats = 1 / np.exp(scaled, out=scaled).sum(axis=1)
    return largest


def fit_temperature(logits: Floats, labels: Ints) -> float:
    """Return the temperature in ``TEMPERATURES`` of least NLL on held-out logits (Guo et al., ICML 2017), NaN without
    samples.

    The NLL is convex in 1/T, so the bounded search over log T (scipy) finds the minimum. Where all N samples are right
    it has none, since ever smaller temperatures fit ever better; the targets are then smoothed by 1 / (N + 2), Platt's
    (1999) guard against certainty from few samples.
    """
    if not len(labels):
        return float("nan")
    smoothing = 1 / (len(labels) + 2) if (logits.argmax(axis=1) == labels).all() else 0.0

    def loss(log_t: float) -> float:
        logs = log_softmax(logits / np.exp(log_t), axis=1)
        return float(-((1 - smoothing) * logs[np.arange(len(labels)), labels] + smoothing * logs.mean(axis=1)).mean())

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))
