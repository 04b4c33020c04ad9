"""The loader: an epoch of batches from a part of a data set.

Data that fit are one uint8 tensor on the device and are augmented there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from headbench.core.batch import Batch, Targets
from headbench.core.streams import derive, generator
from headbench.data.loading.augment import Augmentation, normalise
from headbench.data.loading.mixing import draw_mixes, mix
from headbench.data.loading.views import VIEWS

EVAL_BATCH = 500


@dataclass(frozen=True)
class Epoch:
    """One pass over a training part; the same fields give the same batches, whatever ran before.

    Attributes:
        views: names, one slice of the batch each.
        augmentation: of the recipe.
        batch_size: images a step.
        drop_last: leave out the last, smaller batch.
        sampler: ``instance`` or ``class_balanced``, see :func:`epoch_order`.
        seed: of the cell.
        number: of the epoch within the whole training, whatever its stages: for one seed all heads see the same
            batches.
    """

    views: tuple[str, ...]
    augmentation: Augmentation
    batch_size: int
    drop_last: bool
    sampler: str
    seed: int
    number: int

    def stream(self, name: str, *parts: int) -> torch.Generator:
        """Return the CPU generator of a named stream of this epoch."""
        return generator(self.seed, name, "train", self.number, *parts)

    def slices(self, count: int) -> list[slice]:
        """Return the parts of ``count`` images that make the batches."""
        end = count - count % self.batch_size if self.drop_last else count
        return [slice(start, min(start + self.batch_size, end)) for start in range(0, end, self.batch_size)]


class Part(Protocol):
    """One part of a data set, ready to be trained or evaluated on: resident on the device, or streamed from files."""

    @property
    def views(self) -> tuple[str, ...]:
        """The views that can be shown of it."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """Fields of an augmentation that cannot be applied to it."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64, on the device."""

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel, of pixels in [0, 1], by which images are normalised."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a batch's images."""

    def __len__(self) -> int: ...

    def batches(self, epoch: Epoch) -> Iterator[Batch]:
        """Yield one epoch of augmented batches."""

    def plain_batches(self) -> Iterator[Tensor]:
        """Yield all images in order, normalised and not augmented, (B, channels, H, W)."""


@dataclass(frozen=True)
class Resident:
    """A part whose images are on the device.

    Attributes:
        images: (M, channels, H, W) uint8; on a CPU the whole memory-mapped cache, which all parts and processes share.
        positions: (N,) the rows that make this part.
        labels: (N,) int64.
        mean: (channels,) of pixels in [0, 1].
        std: (channels,) of pixels in [0, 1].
    """

    images: Tensor
    positions: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    views: ClassVar = tuple(VIEWS)
    ignored: ClassVar = ("policy", "color_jitter", "random_erasing")

    @classmethod
    def of(
        cls,
        images: Tensor,
        positions: Tensor,
        labels: Tensor,
        statistics: tuple[tuple[float, ...], tuple[float, ...]],
        device: torch.device,
    ) -> "Resident":
        """Lay the images at ``positions`` (N,) with their labels (N,) on the device.

        On a CPU they stay where they are.
        """
        if device.type != "cpu":
            images, positions = images[positions].to(device), torch.arange(len(positions))
        mean, std = (torch.tensor(values, device=device) for values in statistics)
        return cls(images, positions.to(device), labels.to(device), mean, std)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel."""
        return tuple(self.mean.tolist()), tuple(self.std.tolist())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def batches(self, epoch: Epoch) -> Iterator[Batch]:
        """Yield one epoch of augmented batches.

        All draws are made once an epoch on the CPU and copied once, so that no step waits for the device.
        """
        device, augmentation, statistics = self.images.device, epoch.augmentation, (self.mean, self.std)
        order = epoch_order(self.labels.cpu(), epoch.sampler, epoch.stream("order")).to(device)
        shows = [
            VIEWS[view](len(order), augmentation, statistics, self.image_shape, epoch.stream("augment", v))
            for v, view in enumerate(epoch.views)
        ]
        slices = epoch.slices(len(order))
        mixes = draw_mixes(
            len(order), len(slices), augmentation, self.image_shape, derive(epoch.seed, "mix", epoch.number), device
        )
        for step, chosen in enumerate(slices):
            indices = order[chosen]
            raw = self.images[self.positions[indices]]
            batch = Batch(
                torch.stack([show(raw, chosen) for show in shows]), Targets.plain(self.labels[indices], indices)
            )
            yield batch if mixes is None else mix(batch, mixes.keys[chosen], mixes.weights[step], mixes.boxes[step])

    def plain_batches(self) -> Iterator[Tensor]:
        """Yield all images in order, normalised and not augmented, (B, channels, H, W)."""
        for positions in torch.split(self.positions, EVAL_BATCH):
            yield normalise(self.images[positions], self.mean, self.std)


def epoch_order(labels: Tensor, sampler: str, stream: torch.Generator) -> Tensor:
    """Return the positions (N,) that one epoch visits, in order, on the CPU.

    Args:
        labels: (N,) on the CPU.
        sampler: ``instance``, a permutation; or ``class_balanced``, N draws with replacement, every class equally
            likely.
        stream: generator for the draw.
    """
    if sampler == "instance":
        return torch.randperm(len(labels), generator=stream)
    weights = 1.0 / torch.bincount(labels)[labels]
    return torch.multinomial(weights, len(labels), replacement=True, generator=stream)
