"""Evaluation of a classifier: features, scores, the geometry of the features.

All in eval mode, without gradient, on images in order.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from headbench.core.errors import UserError
from headbench.data.loading.augment import scaled
from headbench.data.loading.epoch import Epoch, Part, in_order
from headbench.data.loading.foreign import Foreign
from headbench.data.loading.views import VIEWS
from headbench.runners.devices.group import Group
from headbench.runners.training.classifier import Classifier
from headbench.runners.training.loop import contract

# Rows of features that are held in float64 at once.
CHUNK = 10_000


def embed(classifier: Classifier, part: Part | Foreign, side: int | None = None) -> Tensor:
    """Return the features (N, d) of one part, float32 on the device; larger images are scaled to ``side`` pixels."""
    return _embedded(classifier, (scaled(images, side) for images in part.plain_batches()))


def embed_together(classifier: Classifier, part: Part, side: int | None = None, group: Group | None = None) -> Tensor:
    """Return the same of a training part's kind, where each process of a group embeds its portion; without one, of
    all.
    """
    if group is None:
        return embed(classifier, part, side)
    return group.gathered(embed(classifier, part.taken(group.rows(len(part))), side), len(part))


@torch.no_grad()
def _embedded(classifier: Classifier, batches: Iterable[Tensor]) -> Tensor:
    classifier.eval()
    return torch.cat([classifier.features(images) for images in batches])


class NonFiniteScoresError(Exception):
    """A trained classifier gives scores that are NaN or infinite."""


@torch.no_grad()
def scores(classifier: Classifier, features: Tensor) -> np.ndarray:
    """Return the head's logits (N, C) for features (N, d), float32.

    Raises:
        NonFiniteScoresError: where one of them is NaN or infinite, as after a last step that went too far: it had no
            later loss to tell of it.
    """
    logits = classifier.head.logits(features).float().cpu().numpy()
    if not np.isfinite(logits).all():
        raise NonFiniteScoresError("the trained network gives scores that are NaN or infinite")
    return logits


@torch.no_grad()
def measure(
    classifier: Classifier, part: Part, metrics: Iterable[str], side: int | None = None, group: Group | None = None
) -> dict[str, float]:
    """Return metrics of one part, NaN where it is empty: ``top1``, the accuracy in [0, 1], and ``nll``, the mean
    negative log-likelihood by the head's own scale, in nats; larger images are scaled to ``side`` pixels.

    The processes of a group share the images.
    """
    if not len(part):
        return dict.fromkeys(metrics, math.nan)
    logits = classifier.head.logits(embed_together(classifier, part, side, group))
    known = {
        "top1": lambda: (logits.argmax(dim=1) == part.labels).double().mean().item(),
        "nll": lambda: F.cross_entropy(logits.double(), part.labels).item(),
    }
    return {name: known[name]() for name in metrics}


def collect(
    classifier: Classifier, parts: dict[str, Part], split: str, view: str, epoch: Epoch, group: Group | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return features (N, d), labels (N,) and indices (N,) of one pass, for a head's ``context.collect``.

    What was in training mode is so again afterwards.

    Args:
        classifier: whose features are asked for.
        parts: that a head may collect, by name.
        split: one of them.
        view: name of the view that is shown.
        epoch: that the view is drawn in, with its size.
        group: whose processes share the plain images; in another view each is shown all of them.

    Raises:
        UserError: for a split other than those offered (the test part never is), an empty one, or an unknown view.
    """
    if split not in parts or not len(parts[split]) or view not in VIEWS:
        raise UserError(
            f"collect('{split}', '{view}'): a head may collect {', '.join(name for name in parts if len(parts[name]))} "
            f"in the views {', '.join(VIEWS.names())}"
        )
    part = parts[split]
    training = [module for module in classifier.modules() if module.training]
    try:
        if view == "plain":
            features = embed_together(classifier, part, epoch.side, group)
        else:
            features = _embedded(classifier, (v[0] for v in in_order(part, replace(epoch, views=(view,)))))
    finally:
        for module in training:
            module.training = True
    return features, part.labels, torch.arange(len(features), device=features.device)


@dataclass(frozen=True)
class Geometry:
    """The training features' geometry.

    Attributes:
        class_means: (C, d), NaN for a class without images.
        within: (d, d), mean over samples of (h - mean of its class)(h - mean of its class)^T.
        between: (d, d), mean over samples of (mean of its class - global mean)(...)^T.
        prototypes: (C, d), or (0, d) where the head has none.
        nearest_mean_agreement: (), part of the images whose prediction is the class of the nearest mean.
    """

    class_means: np.ndarray
    within: np.ndarray
    between: np.ndarray
    prototypes: np.ndarray
    nearest_mean_agreement: np.ndarray


@torch.no_grad()
def predictions(classifier: Classifier, features: Tensor) -> Tensor:
    """Return the class (N,) that the head gives each of the features (N, d), a chunk at a time."""
    # Of a copy, as a head may compute in place: the features are looked at again.
    return torch.cat([classifier.head.logits(chunk.clone()).argmax(dim=1) for chunk in torch.split(features, CHUNK)])


@torch.no_grad()
def geometry(classifier: Classifier, embedded: Tensor, labels: Tensor, predicted: Tensor, num_classes: int) -> Geometry:
    """Return the geometry of embedded images (N, d) with their labels and predicted classes (N,), summed in float64 a
    chunk at a time.
    """
    features, labels, predicted = embedded.cpu(), labels.cpu(), predicted.cpu()
    dim, total = features.shape[1], len(features)
    sums = torch.zeros(num_classes, dim, dtype=torch.float64)
    for chunk, own in _chunks(features, labels):
        sums.index_add_(0, own, chunk)
    means, mean = sums / torch.bincount(labels, minlength=num_classes)[:, None], sums.sum(dim=0) / total
    within, between = torch.zeros(dim, dim, dtype=torch.float64), torch.zeros(dim, dim, dtype=torch.float64)
    for chunk, own in _chunks(features, labels):
        centred, offsets = chunk - means[own], means[own] - mean
        within += centred.T @ centred / total
        between += offsets.T @ offsets / total
    # A class without images has no mean, and is nearest to nothing.
    nearest = torch.cat(
        [torch.cdist(chunk, means).nan_to_num(torch.inf).argmin(dim=1) for chunk, _ in _chunks(features, labels)]
    )
    agreement = (nearest == predicted).double().mean()
    prototypes = contract.prototypes(classifier.head, num_classes)
    bank = torch.zeros(0, dim) if prototypes is None else prototypes.float().cpu()
    return Geometry(means.numpy(), within.numpy(), between.numpy(), bank.numpy(), agreement.numpy())


def _chunks(features: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(features), CHUNK):
        yield features[start : start + CHUNK].double(), labels[start : start + CHUNK]
