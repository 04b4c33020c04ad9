"""Losses shared by heads: pure functions of scores or cosines and targets, each a batch mean."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from headbench.core.batch import Targets


def mixed(loss: Callable[[Tensor, Tensor], Tensor], scores: Tensor, targets: Targets) -> Tensor:
    """Return the mean over V views of ``loss(scores, labels)``, for the first view weighted over the pairs of labels
    that mixing left.

    Args:
        loss: batch mean of scores (N, ...) and labels (N,).
        scores: (V, B, ...).
        targets: labels of the B samples.
    """
    views = scores.shape[0]
    first = torch.stack([weight * loss(scores[0], labels) for labels, weight in targets.pairs]).sum()
    if views == 1:
        return first
    return (first + (views - 1) * loss(scores[1:].flatten(0, 1), targets.labels.repeat(views - 1))) / views


def cross_entropy(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of logits (B, C) and labels (B,), whose one-hot targets give up ``label_smoothing``
    to all classes.
    """
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def label_margin(cosines: Tensor, labels: Tensor, margins: Tensor) -> Tensor:
    """Return cosines (B, C) in which that of the own class is lower by the margin of this class, of margins (C,).

    Source: Cao et al., NeurIPS 2019, equation 13.
    """
    own = labels[:, None]
    return cosines.scatter(1, own, cosines.gather(1, own) - margins[own])


def other_squares(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the sum over the other classes of the squared score (B,), for scores (B, C) and labels (B,)."""
    return scores.scatter(1, labels[:, None], 0.0).square().sum(dim=1)


def squared_cosine(cosines: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over the batch of (1 - cos(z, p_y))^2 for cosines (B, C) and labels (B,).

    Source: Mettes et al., NeurIPS 2019, the classification loss (there summed over the batch).
    """
    own = cosines.gather(1, labels[:, None]).squeeze(1)
    return (1 - own).square().mean()


def dot_regression(
    features: Tensor, labels: Tensor, *, classifier: Tensor, class_weights: Tensor | None = None
) -> Tensor:
    """Return the mean over the batch of E_y^2 (w_y . h - 1)^2 / 2 for unit features and prototypes.

    Args:
        features: h (B, d), unit rows.
        labels: y (B,).
        classifier: w (C, d), unit rows.
        class_weights: E^2 (C,), see :func:`batch_class_weights`; without them 1.

    Source: Yang et al., NeurIPS 2022: (w_y . h - sqrt(E_W E_H))^2 / (2 sqrt(E_W E_H)) with E_H = 1 and w_y of length
    E_y, as in their code.
    """
    terms = ((features * classifier[labels]).sum(dim=1) - 1).square() / 2
    return terms.mean() if class_weights is None else (class_weights[labels] * terms).mean()


def batch_class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Return E_c^2 = (B/K)/n_c (C,) of a batch of B labels of K different classes, n_c of them c.

    1 for a class that does not occur.

    Source: the released code of Yang et al., NeurIPS 2022, which scales the prototype of a class by E_c.
    """
    counts = (labels[:, None] == torch.arange(num_classes, device=labels.device)).sum(dim=0)
    present = counts > 0
    return torch.where(present, len(labels) / (present.sum() * counts.clamp(min=1)), 1.0)


def adacos_scale(num_classes: int) -> float:
    """Return s = sqrt(2) ln(C-1), at least 1, for cross-entropy on cosines s cos with C classes.

    Source: Zhang et al., "AdaCos", CVPR 2019, equation 12 (the fixed scale), which is zero for two classes.
    """
    return max(math.sqrt(2) * math.log(num_classes - 1), 1.0)


def confidence_scale(num_classes: int, confidence: float = 0.99) -> float:
    """Return s = (C-1)/C ln((C-1)P/(1-P)): with it, softmax(s cos) at the vertex of a C-simplex gives confidence P.

    Our convention for heads whose paper defines no probability.
    """
    return (num_classes - 1) / num_classes * math.log((num_classes - 1) * confidence / (1 - confidence))
