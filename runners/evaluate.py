"""Evaluation of a classifier: features, scores, the geometry of the features. All in eval mode, without gradient, on images in order."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.errors import UserError
from data.loader import Part
from runners.classifier import Classifier


@torch.no_grad()
def embed(classifier: Classifier, part: Part) -> Tensor:
    """Return the features (N, d) of one part, float32 on the device."""
    classifier.eval()
    return torch.cat([classifier.features(images) for images in part.plain_batches()])


@torch.no_grad()
def scores(classifier: Classifier, features: Tensor) -> np.ndarray:
    """Return the head's logits (N, C) for features (N, d), float32."""
    return classifier.head.logits(features).float().cpu().numpy()


@torch.no_grad()
def top1(classifier: Classifier, part: Part) -> float:
    """Return the accuracy on one part, in [0, 1]."""
    predicted = classifier.head.logits(embed(classifier, part)).argmax(dim=1)
    return (predicted == part.labels).double().mean().item()


def collect(classifier: Classifier, parts: dict[str, Part], split: str, view: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return features (N, d), labels (N,) and indices (N,) of one pass, for a head's ``context.collect``; leaves eval mode behind.

    Raises:
        UserError: for a split other than those offered (the test part never is), an empty one, or a view other than ``plain``.
    """
    if split not in parts or not len(parts[split]) or view != "plain":
        raise UserError(f"collect('{split}', '{view}'): a head may collect the plain view of {', '.join(name for name in parts if len(parts[name]))}")
    features = embed(classifier, parts[split])
    return features, parts[split].labels, torch.arange(len(features), device=features.device)


@dataclass(frozen=True)
class Geometry:
    """The training features' geometry.

    Attributes:
        class_means: (C, d), NaN for a class without images.
        within: (d, d), mean over samples of (h - mean of its class)(h - mean of its class)^T.
        between: (d, d), mean over samples of (mean of its class - global mean)(...)^T.
        prototypes: (C, d), or (0, d) where the head has none.
    """

    class_means: np.ndarray
    within: np.ndarray
    between: np.ndarray
    prototypes: np.ndarray


@torch.no_grad()
def geometry(classifier: Classifier, part: Part, num_classes: int) -> Geometry:
    """Return the geometry of the training part's features, summed in float64."""
    features, labels = embed(classifier, part).double().cpu(), part.labels.cpu()
    members = torch.nn.functional.one_hot(labels, num_classes).double()
    counts = members.sum(dim=0)[:, None]
    means = members.T @ features / counts
    centred = features - means[labels]
    offsets = means[labels] - features.mean(dim=0)
    prototypes = classifier.head.prototypes()
    bank = torch.zeros(0, features.shape[1]) if prototypes is None else prototypes.detach().float().cpu()
    total = len(features)
    return Geometry(means.numpy(), (centred.T @ centred / total).numpy(), (offsets.T @ offsets / total).numpy(), bank.numpy())
