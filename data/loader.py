"""The loader for data that fits on the device: batches are slices of one uint8 tensor, augmented there."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.batch import Batch, Targets
from core.errors import UserError, suggest
from core.random import generator
from data.augment import Augmentation, normalise, pad_crop_flip, weak_draws
from data.registry import ImageSet

EVAL_BATCH = 500
VIEWS = ("weak", "plain")


@dataclass(frozen=True)
class Resident:
    """One part of a data set on the device.

    Attributes:
        images: (N, channels, H, W) uint8.
        labels: (N,) int64.
        mean: (channels,) of pixels in [0, 1].
        std: (channels,) of pixels in [0, 1].
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, part: ImageSet, positions: Tensor, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> "Resident":
        """Copy the images at ``positions`` (N,) to the device."""
        return cls(part.images[positions].to(device), part.labels[positions].to(device), torch.tensor(mean, device=device), torch.tensor(std, device=device))

    def __len__(self) -> int:
        return len(self.labels)


def epoch_order(labels: Tensor, sampler: str, stream: torch.Generator) -> Tensor:
    """Return the positions (N,) that one epoch visits, in order, on the CPU.

    Args:
        labels: (N,) on the CPU.
        sampler: ``instance``, a permutation; or ``class_balanced``, N draws with replacement, every class equally likely.
        stream: generator for the draw.
    """
    if sampler == "instance":
        return torch.randperm(len(labels), generator=stream)
    weights = 1.0 / torch.bincount(labels)[labels]
    return torch.multinomial(weights, len(labels), replacement=True, generator=stream)


def training_batches(
    part: Resident, *, views: tuple[str, ...], augmentation: Augmentation, batch_size: int, drop_last: bool, sampler: str, seed: int, stage: str, epoch: int
) -> Iterator[Batch]:
    """Yield one epoch of augmented batches; the same seed, stage and epoch give the same batches whatever ran before.

    Order and augmentation are drawn once an epoch on the CPU and copied once, so that no step waits for the device.
    """
    device = part.images.device
    order = epoch_order(part.labels.cpu(), sampler, generator(seed, "order", stage, epoch)).to(device)
    draws = [weak_draws(len(order), augmentation, generator(seed, "augment", stage, epoch, v), device) for v in range(len(views))]
    end = len(order) - len(order) % batch_size if drop_last else len(order)
    for start in range(0, end, batch_size):
        chosen = slice(start, min(start + batch_size, end))
        indices = order[chosen]
        raw = part.images[indices]
        shown = [
            pad_crop_flip(raw, augmentation.pad, draw.top[chosen], draw.left[chosen], draw.flip[chosen]) if view == "weak" else raw
            for view, draw in zip(views, draws, strict=True)
        ]
        yield Batch(normalise(torch.stack(shown), part.mean, part.std), Targets.plain(part.labels[indices], indices))


def plain_batches(part: Resident) -> Iterator[Tensor]:
    """Yield all images in order, normalised and not augmented, (B, channels, H, W)."""
    for start in range(0, len(part), EVAL_BATCH):
        yield normalise(part.images[start : start + EVAL_BATCH], part.mean, part.std)


def check_views(views: tuple[str, ...], place: str) -> None:
    """Raise UserError for a view that no augmentation provides."""
    for view in views:
        if view not in VIEWS:
            raise UserError(f"{place}: unknown view '{view}'; {suggest(view, VIEWS)}")
