"""What travels between data, runner and head: the facts of the data, targets, a batch and its portions."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DataInfo:
    """What a head may know of the data before training.

    Attributes:
        num_classes: C.
        class_counts: (C,) int64, images per class in the actual training part.
        class_names: C names.
        train_size: number of images in the training part.
        image_shape: (channels, height, width).
        generator: seeded CPU generator for the head's own random initialisation.
        val_size: number of images in the validation part, 0 where there is none.
    """

    num_classes: int
    class_counts: Tensor
    class_names: tuple[str, ...]
    train_size: int
    image_shape: tuple[int, int, int]
    generator: torch.Generator
    val_size: int = 0


@dataclass(frozen=True)
class Targets:
    """Labels of a batch of B samples.

    Attributes:
        labels: (B,) int64, unmixed.
        indices: (B,) int64, position of each sample in the training part.
        pairs: ``(labels, weight)`` pairs whose weights (0-dim tensors, one lambda per batch) sum to 1; without mixup,
            one pair of weight 1. They are those of the first view; the others are never mixed.
    """

    labels: Tensor
    indices: Tensor
    pairs: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def plain(cls, labels: Tensor, indices: Tensor | None = None) -> "Targets":
        """Return the targets of an unmixed batch; without indices it is taken as the whole training part."""
        indices = torch.arange(len(labels), device=labels.device) if indices is None else indices
        return cls(labels, indices, ((labels, torch.ones((), device=labels.device)),))


@dataclass(frozen=True)
class Batch:
    """Images (V, B, channels, H, W) float32, one slice per view, and their targets.

    On one of several devices, the images are its portion of the batch, and the targets those of all of it.
    """

    images: Tensor
    targets: Targets

    def split(self, parts: int, devices: int = 1) -> "list[tuple[float, Batch]]":
        """Return the batch in up to so many parts, each with its share of the images; the shares sum to 1.

        Where several devices share the batch, this one has its portion of each part.
        """
        if parts == 1:
            return [(1.0, self)]
        labels, count, found = self.targets.labels, len(self.targets.labels), []
        sizes = [math.ceil(_length(own) / devices) for own in _parts(count, parts)]
        for own, images in zip(_parts(count, parts), torch.split(self.images, sizes, dim=1), strict=True):
            pairs = tuple((mixed[own], weight) for mixed, weight in self.targets.pairs)
            targets = Targets(labels[own], self.targets.indices[own], pairs)
            found.append((_length(own) / count, Batch(images, targets)))
        return found


@dataclass(frozen=True)
class Portion:
    """Which samples of a batch one of several devices shows.

    Attributes:
        rank: number of the device, from 0.
        size: how many devices there are.
    """

    rank: int
    size: int

    def rows(self, count: int, parts: int = 1) -> Tensor:
        """Return the rows of this device among ``count`` (k,) int64, part after part: of each, device after device.

        Where that does not divide, the last devices repeat the last row, so that all of them have as many.

        Args:
            count: of the rows.
            parts: in which they go through the network, see :meth:`Batch.split`.
        """
        return torch.cat([own.start + self._rows(_length(own)) for own in _parts(count, parts)])

    def _rows(self, count: int) -> Tensor:
        each = math.ceil(count / self.size)
        return (self.rank * each + torch.arange(each)).clamp(max=count - 1)


def _parts(count: int, parts: int) -> list[slice]:
    """Return up to so many parts of ``count`` rows, equal but for the last."""
    size = math.ceil(count / parts)
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def _length(rows: slice) -> int:
    length: int = rows.stop - rows.start
    return length
