"""How well a classifier's scores tell images of its data set from those of another one: AUROC and FPR at 95 % TPR."""

import numpy as np
from scipy.special import logsumexp

from headbench.results.numbers.calibration import Floats

# What is measured, by the name of its column: each metric of each score.
SCORES = ("probability", "energy", "score")
METRICS = tuple(f"ood_{metric}_{score}" for metric in ("auroc", "fpr95") for score in SCORES)
# Part of the images of the data set itself that must be taken as such, in percent.
TPR = 95


def evaluate(inside: Floats, outside: Floats) -> dict[str, float]:
    """Return each of ``METRICS``, NaN where scores are not finite.

    Args:
        inside: logits (N, C) of test images of the classifier's own data set, with the head's own scale.
        outside: logits (M, C) of images of another one.
    """
    if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
        return dict.fromkeys(METRICS, float("nan"))
    own, others = confidences(inside), confidences(outside)
    found = {f"ood_auroc_{score}": auroc(own[score], others[score]) for score in SCORES}
    return found | {f"ood_fpr95_{score}": fpr95(own[score], others[score]) for score in SCORES}


def confidences(logits: Floats) -> dict[str, Floats]:
    """Return scores (N,) of logits (N, C), all without a temperature, larger for what looks like the data set itself.

    ``probability``: the largest softmax probability (Hendrycks & Gimpel, ICLR 2017). ``energy``: the negative free
    energy, log sum exp (Liu et al., NeurIPS 2020, equation 4, T = 1). ``score``: the largest logit, which for a head
    whose scores are scaled cosines is its largest cosine (Hendrycks et al., ICML 2022, MaxLogit).
    """
    largest, energy = logits.max(axis=1).astype(np.float64), logsumexp(logits.astype(np.float64), axis=1)
    return {"probability": np.exp(largest - energy), "energy": energy, "score": largest}


def auroc(inside: Floats, outside: Floats) -> float:
    """Return the probability that an image inside (N,) scores higher than one outside (M,); a tie counts one half."""
    from sklearn.metrics import roc_auc_score

    is_inside = np.repeat([1, 0], [len(inside), len(outside)])
    return float(roc_auc_score(is_inside, np.concatenate([inside, outside])))


def fpr95(inside: Floats, outside: Floats) -> float:
    """Return the part of the images outside (M,) that score at least as high as the highest threshold that at least
    95 % of those inside (N,) reach.
    """
    needed = -(-TPR * len(inside) // 100)
    return float((outside >= np.sort(inside)[len(inside) - needed]).mean())
