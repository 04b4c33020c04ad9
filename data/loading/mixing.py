"""Mixup and CutMix of the first view: one lambda per batch, carried by ``Targets.pairs`` only."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from headbench.core.batch import Batch
from headbench.core.streams import derive
from headbench.data.loading.augment import Augmentation

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Mixes:
    """One epoch's mixing, on the device.

    Attributes:
        keys: (N,) random; the order of a batch's keys is the permutation that gives each image its partner.
        weights: (steps,) of the image's own label.
        boxes: per step the (top, bottom, left, right) that comes from the partner, or None for mixup.
    """

    keys: Tensor
    weights: Tensor
    boxes: tuple[Box | None, ...]


def draw_mixes(
    count: int, steps: int, augmentation: Augmentation, shape: tuple[int, int, int], seed: int, device: torch.device
) -> Mixes | None:
    """Draw an epoch's mixing, or None where the recipe mixes nothing.

    Source: Zhang et al., ICLR 2018 (mixup); Yun et al., ICCV 2019 (CutMix: a box of area 1 - lambda around a uniform
    centre, lambda corrected for the border).
    """
    if not (augmentation.mixup or augmentation.cutmix):
        return None
    random = np.random.default_rng(derive(seed, "mixing"))
    weights, boxes = [], []
    for _ in range(steps):
        cut = bool(augmentation.cutmix) and (not augmentation.mixup or random.random() < 0.5)
        alpha = augmentation.cutmix if cut else augmentation.mixup
        weight = random.beta(alpha, alpha)
        box = draw_box(weight, shape, random) if cut else None
        if box is not None:
            weight = 1 - (box[1] - box[0]) * (box[3] - box[2]) / (shape[1] * shape[2])
        weights.append(weight)
        boxes.append(box)
    keys = torch.from_numpy(random.random(count))
    return Mixes(keys.to(device), torch.tensor(weights, dtype=torch.float32, device=device), tuple(boxes))


def draw_box(weight: float, shape: tuple[int, int, int], random: np.random.Generator) -> Box:
    """Return (top, bottom, left, right) of a box of area (1 - weight) H W around a uniform centre, cut at borders."""
    edges = []
    for side in shape[1:]:
        length, centre = int(side * np.sqrt(1 - weight)), int(random.integers(side))
        edges += [max(centre - length // 2, 0), min(centre + (length + 1) // 2, side)]
    return edges[0], edges[1], edges[2], edges[3]


def mix(batch: Batch, keys: Tensor, weight: Tensor, box: Box | None, *, paired: bool = False) -> Batch:
    """Return a batch whose first view, the one to classify, is mixed with a permutation of itself.

    Args:
        batch: images (V, B, channels, H, W) and their unmixed targets.
        keys: (B,) whose order is the permutation.
        weight: 0-dim, of an image's own label.
        box: what comes from the partner (CutMix), or None for the weighted mean (mixup).
        paired: the second half of the images are the partners of the first, as on one of several devices.

    Returns:
        The mixed first view and the other views as they were; ``labels`` and ``indices`` stay those of the image
        itself.
    """
    partner = torch.argsort(keys)
    images, partners = batch.images.chunk(2, dim=1) if paired else (batch.images, batch.images[:1, partner])
    first, other = images[:1], partners[:1]
    if box is None:
        mixed = weight * first + (1 - weight) * other
    else:
        top, bottom, left, right = box
        mixed = first.clone()
        mixed[..., top:bottom, left:right] = other[..., top:bottom, left:right]
    images = torch.cat([mixed, images[1:]]) if len(images) > 1 else mixed
    labels = batch.targets.labels
    return Batch(images, replace(batch.targets, pairs=((labels, weight), (labels[partner], 1 - weight))))
