"""A part whose images are known by a frozen backbone's features of them, computed once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from headbench.data.loading.augment import Statistics
from headbench.data.loading.epoch import EpochPlan

EVAL_BATCH = 5000
# Views of an image that are the image itself where a recipe augments nothing.
VIEWS = frozenset({"weak", "plain"})


@dataclass(frozen=True)
class Features:
    """A part whose batches are features (B, F) in place of images.

    Attributes:
        features: (M, F) float32; on a CPU the whole memory-mapped cache, which all parts and processes share.
        positions: (N,) the rows that make this part.
        labels: (N,) int64.
        image_shape: (channels, height, width) of the images behind them.
        statistics: mean and standard deviation by channel, that these were normalised by.
    """

    features: Tensor
    positions: Tensor
    labels: Tensor
    image_shape: tuple[int, int, int]
    statistics: Statistics

    mixing_stream: ClassVar = "mix"

    @classmethod
    def of(
        cls,
        features: Tensor,
        positions: Tensor,
        labels: Tensor,
        image_shape: tuple[int, int, int],
        statistics: Statistics,
        device: torch.device,
    ) -> "Features":
        """Lay the features at ``positions`` (N,) with their labels (N,) on the device.

        On a CPU they stay where they are.
        """
        if device.type != "cpu":
            features, positions = features[positions].to(device), torch.arange(len(positions))
        return cls(features, positions.to(device), labels.to(device), image_shape, statistics)

    def __len__(self) -> int:
        return len(self.labels)

    def shown(self, plan: EpochPlan) -> Iterator[Tensor]:
        """Yield the features (V, B, F) of each batch of a plan, or of its rows, the same for every view."""
        for chosen in plan.rows or plan.slices:
            yield self.features[self.positions[plan.positions[chosen]]].expand(len(plan.epoch.views), -1, -1)

    def taken(self, rows: Tensor) -> "Features":
        """Return the part that has some samples (N,) of this one only."""
        rows = rows.to(self.labels.device)
        return replace(self, positions=self.positions[rows], labels=self.labels[rows])

    def plain_batches(self) -> Iterator[Tensor]:
        """Yield all features in order, (B, F)."""
        for positions in torch.split(self.positions, EVAL_BATCH):
            yield self.features[positions]
