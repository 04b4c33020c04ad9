"""A part whose images are one uint8 tensor on the device, where they are augmented."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from headbench.core.errors import UserError
from headbench.data.loading.augment import Augmentation, Statistics, normalise
from headbench.data.loading.epoch import EpochPlan
from headbench.data.loading.views import VIEWS

EVAL_BATCH = 500
# Images that are augmented together on a CUDA device.
TOGETHER = 4096


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

    mixing_stream: ClassVar = "mix"
    # What a recipe may have that cannot be applied here.
    ignored: ClassVar = ("color_jitter", "random_erasing")

    @classmethod
    def of(
        cls,
        images: Tensor,
        positions: Tensor,
        labels: Tensor,
        statistics: Statistics,
        device: torch.device,
    ) -> "Resident":
        """Lay the images at ``positions`` (N,) with their labels (N,) on the device.

        On a CPU they stay where they are.
        """
        if device.type != "cpu":
            images, positions = images[positions].to(device), torch.arange(len(positions))
        mean, std = (torch.tensor(values, device=device) for values in statistics)
        return cls(images, positions.to(device), labels.to(device), mean, std)

    @staticmethod
    def check_view(view: str, augmentation: Augmentation, shape: tuple[int, int, int]) -> None:
        """Raise UserError where images of that shape cannot be shown in that view, by drawing it for one of them."""
        if view not in VIEWS:
            raise UserError(f"view '{view}' is for streamed images; images in memory have {', '.join(VIEWS.names())}")
        blank = torch.zeros(shape[0])
        VIEWS.get(view).target(1, augmentation, (blank, blank + 1), shape, torch.Generator())

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def statistics(self) -> Statistics:
        """Mean and standard deviation of each channel."""
        return tuple(self.mean.tolist()), tuple(self.std.tolist())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def shown(self, plan: EpochPlan) -> Iterator[Tensor]:
        """Yield the views (V, B, channels, H, W) of each batch of a plan, or of its rows, before any mixing.

        All draws are made once an epoch on the CPU and copied once, so that no step waits for the device.
        """
        yield from plan.portions(self._whole(plan))

    def _whole(self, plan: EpochPlan) -> Iterator[Tensor]:
        epoch, statistics = plan.epoch, (self.mean, self.std)
        several = _batches_together(epoch.batch_size, self.labels.device)
        shows = [
            VIEWS.get(view).target(
                len(plan.order), epoch.augmentation, statistics, self.image_shape, epoch.stream("augment", number)
            )
            for number, view in enumerate(epoch.views)
        ]
        for first in range(0, len(plan.slices), several):
            slices = plan.slices[first : first + several]
            chosen = slice(slices[0].start, slices[-1].stop)
            images = self.images[self.positions[plan.positions[chosen]]]
            shown = torch.stack([show(images, chosen) for show in shows])
            yield from torch.split(shown, [part.stop - part.start for part in slices], dim=1)

    def taken(self, rows: Tensor) -> "Resident":
        """Return the part that has some samples (N,) of this one only."""
        rows = rows.to(self.labels.device)
        return replace(self, positions=self.positions[rows], labels=self.labels[rows])

    def plain_batches(self) -> Iterator[Tensor]:
        """Yield all images in order, normalised and not augmented, (B, channels, H, W)."""
        for positions in torch.split(self.positions, EVAL_BATCH):
            yield normalise(self.images[positions], self.mean, self.std)


def _batches_together(batch_size: int, device: torch.device) -> int:
    """Return how many batches are augmented at once.

    On a CUDA device a policy takes some hundred small kernels, however many images it is for; on a CPU it is the
    arithmetic that takes time, and a batch stays in the processor's cache.
    """
    return max(TOGETHER // batch_size, 1) if device.type == "cuda" else 1
