"""Losses shared by heads: pure functions of scores or cosines and targets, each a batch mean."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from core.batch import Targets


def mixed(loss: Callable[[Tensor, Tensor], Tensor], scores: Tensor, targets: Targets) -> Tensor:
    """Return the mean over V views of ``loss(scores, labels)``, weighted over the pairs of labels that mixing left.

    Args:
        loss: batch mean of scores (N, ...) and labels (N,).
        scores: (V, B, ...).
        targets: labels of the B samples.
    """
    views, flat = scores.shape[0], scores.flatten(0, 1)
    return torch.stack([weight * loss(flat, labels.repeat(views)) for labels, weight in targets.pairs]).sum()


def cross_entropy(logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of logits (B, C) and labels (B,), whose one-hot targets give up ``label_smoothing`` to all classes."""
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def squared_cosine(cosines: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over the batch of (1 - cos(z, p_y))^2 for cosines (B, C) and labels (B,).

    Source: Mettes et al., NeurIPS 2019, the classification loss (there summed over the batch).
    """
    own = cosines.gather(1, labels[:, None]).squeeze(1)
    return (1 - own).square().mean()


def dot_regression(features: Tensor, classifier: Tensor, labels: Tensor, *, feature_norm: float = 1.0, weight_norm: float = 1.0) -> Tensor:
    """Return the mean over the batch of (w_y . h - sqrt(E_W E_H))^2 / (2 sqrt(E_W E_H)).

    Args:
        features: (B, d), of squared length E_H.
        classifier: (C, d), rows of squared length E_W.
        labels: (B,).
        feature_norm: sqrt(E_H).
        weight_norm: sqrt(E_W).

    Source: Yang et al., NeurIPS 2022, the dot-regression loss.
    """
    target = feature_norm * weight_norm
    own = (features * classifier[labels]).sum(dim=1)
    return ((own - target).square() / (2 * target)).mean()


def confidence_scale(num_classes: int, confidence: float = 0.99) -> float:
    """Return s = (C-1)/C ln((C-1)P/(1-P)): with it, softmax(s cos) at the vertex of a C-simplex gives confidence P.

    Our convention for heads whose paper defines no probability.
    """
    return (num_classes - 1) / num_classes * math.log((num_classes - 1) * confidence / (1 - confidence))
