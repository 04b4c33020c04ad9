"""A part whose images are files, read and augmented by worker processes, batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from headbench.data.loading.augment import Augmentation, Statistics
from headbench.data.loading.epoch import EpochPlan
from headbench.data.loading.readers import Look, Readers, Request
from headbench.data.loading.resident import Resident
from headbench.data.loading.views import FILE_VIEWS
from headbench.data.registry import FileSet

EVAL_BATCH = 100
# Images that a reader reads at once: a batch is read by several, and none holds a whole one in memory.
TOGETHER = 32


@dataclass(frozen=True)
class Streamed:
    """A part whose images are files.

    They are cropped to ``size`` by timm's random resized crop, so that a recipe's padding and cutout do not apply.

    Attributes:
        root: folder of the files.
        paths: (N) below it.
        labels: (N,) int64 on the device.
        size: H = W of a batch's images.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
        exif: whether images are brought upright as their EXIF orientation says.
        readers: processes that read them.
    """

    root: Path
    paths: tuple[str, ...]
    labels: Tensor
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    exif: bool = False
    readers: Readers = field(default_factory=Readers)

    mixing_stream: ClassVar = "stream"
    # What a recipe may have that cannot be applied here.
    ignored: ClassVar = ("pad", "cutout")

    @classmethod
    def of(
        cls,
        part: FileSet,
        positions: Tensor,
        labels: Tensor,
        statistics: Statistics,
        device: torch.device,
        readers: Readers | None = None,
    ) -> "Streamed":
        """Take the files at ``positions`` (N,) with their labels (N,), to be read by these readers or by its own."""
        return cls(
            part.root,
            tuple(part.paths[position] for position in positions.tolist()),
            labels.to(device),
            part.size,
            *statistics,
            part.exif,
            readers or Readers(),
        )

    @staticmethod
    def check_view(view: str, augmentation: Augmentation, shape: tuple[int, int, int]) -> None:
        """Raise UserError where files cannot be shown in that view at that shape, by making it."""
        if view in FILE_VIEWS:
            FILE_VIEWS.get(view).target(augmentation, shape[1], ((0.0,) * shape[0], (1.0,) * shape[0]))
        else:
            Resident.check_view(view, augmentation, shape)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def statistics(self) -> Statistics:
        """Mean and standard deviation of each channel."""
        return self.mean, self.std

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return 3, self.size, self.size

    def shown(self, plan: EpochPlan) -> Iterator[Tensor]:
        """Yield the views (V, B, 3, size, size) of each batch of a plan, or of its rows, before any mixing.

        Each image draws from a seed of its own, so that the number of readers changes nothing.
        """
        look = Look(plan.epoch.views, plan.epoch.augmentation, self.size, self.statistics, self.exif)
        whole = [range(part.start, part.stop) for part in plan.slices]
        shown = whole if plan.rows is None else [rows.tolist() for rows in plan.rows]
        for images in self._read(look, plan.order, shown, plan.epoch.derived("stream")):
            yield images.transpose(0, 1).contiguous()

    def taken(self, rows: Tensor) -> "Streamed":
        """Return the part that has some samples (N,) of this one only."""
        paths = tuple(self.paths[row] for row in rows.tolist())
        return replace(self, paths=paths, labels=self.labels[rows.to(self.labels.device)])

    def plain_batches(self) -> Iterator[Tensor]:
        """Yield all images in order, scaled and cropped in the middle, normalised, (B, 3, size, size)."""
        look = Look(("plain",), Augmentation(), self.size, self.statistics, self.exif)
        batches = [range(first, min(first + EVAL_BATCH, len(self))) for first in range(0, len(self), EVAL_BATCH)]
        for images in self._read(look, torch.arange(len(self)), batches, 0):
            yield images[:, 0]

    def _read(self, look: Look, order: Tensor, batches: Sequence[Sequence[int]], seed: int) -> Iterator[Tensor]:
        """Yield the views (B, V, 3, size, size) of each batch, known by its places in an order, on the device."""

        def requests() -> Iterator[Request]:
            for places in batches:
                for first in range(0, len(places), TOGETHER):
                    chosen = list(places[first : first + TOGETHER])
                    files = tuple(self.root / self.paths[position] for position in order[chosen].tolist())
                    yield Request(look, files, tuple(chosen), seed)

        read = self.readers.read(requests(), pinned=self.labels.is_cuda)
        for places in batches:
            pieces = islice(read, -(-len(places) // TOGETHER))
            yield torch.cat([each.to(self.labels.device, non_blocking=True) for each in pieces])
        next(read, None)  # the end of the pass, from which on another one can have the readers
