"""A part whose images are files, read and augmented by worker processes, batch by batch."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader

from headbench.core.errors import UserError
from headbench.core.streams import derive
from headbench.data.formats.decoding import open_rgb
from headbench.data.formats.walking import printable
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.epoch import EpochPlan
from headbench.data.loading.resident import Resident
from headbench.data.loading.views import FILE_VIEWS, VIEWS, View
from headbench.data.loading.views.plain import crop
from headbench.data.registry import FileSet

EVAL_BATCH = 100


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
    """

    root: Path
    paths: tuple[str, ...]
    labels: Tensor
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    exif: bool = False

    mixing_stream: ClassVar = "stream"
    # What a recipe may have that cannot be applied here.
    ignored: ClassVar = ("pad", "cutout")

    @classmethod
    def of(
        cls,
        part: FileSet,
        positions: Tensor,
        labels: Tensor,
        statistics: tuple[tuple[float, ...], tuple[float, ...]],
        device: torch.device,
    ) -> "Streamed":
        """Take the files at ``positions`` (N,) with their labels (N,)."""
        return cls(
            part.root,
            tuple(part.paths[position] for position in positions.tolist()),
            labels.to(device),
            part.size,
            *statistics,
            part.exif,
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
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel."""
        return self.mean, self.std

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return 3, self.size, self.size

    def shown(self, plan: EpochPlan) -> Iterator[Tensor]:
        """Yield the views (V, B, 3, size, size) of each batch of a plan, before any mixing.

        Each image draws from a seed of its own, so that the number of workers changes nothing.
        """
        transforms = [self._transform(view, plan.epoch.augmentation) for view in plan.epoch.views]
        files = _Files(self, plan.order[: plan.slices[-1].stop], transforms, plan.epoch.derived("stream"))
        for images in _loaded(files, plan.epoch.batch_size):
            yield images.to(self.labels.device, non_blocking=True).transpose(0, 1).contiguous()

    def plain_batches(self) -> Iterator[Tensor]:
        """Yield all images in order, scaled and cropped in the middle, normalised, (B, 3, size, size)."""
        plain = self._transform("plain", Augmentation())
        for images in _loaded(_Files(self, torch.arange(len(self)), [plain], 0), EVAL_BATCH):
            yield images[:, 0].to(self.labels.device, non_blocking=True)

    def _transform(self, view: str, augmentation: Augmentation) -> Callable[[Image], Tensor]:
        """Return what makes a view (3, size, size) of an image of any size, drawing from the global generators."""
        if view in FILE_VIEWS.names():
            return FILE_VIEWS.get(view).target(augmentation, self.size, self.statistics)
        tensors = torch.tensor(self.mean), torch.tensor(self.std)
        return partial(_shown, VIEWS.get(view).target, augmentation, tensors, crop(self.size, normalize=False))


def _shown(
    view: View,
    augmentation: Augmentation,
    statistics: tuple[Tensor, Tensor],
    cropped: Callable[[Image], Tensor],
    image: Image,
) -> Tensor:
    """Return a view of one image, as if it were an epoch of its own."""
    pixels = cropped(image)[None]
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    return view(1, augmentation, statistics, shape, torch.default_generator)(pixels, slice(0, 1))[0]


class _Files(torch.utils.data.Dataset[Tensor]):
    """The images of one epoch in its order: all views (V, 3, H, W) of one file."""

    def __init__(self, part: Streamed, order: Tensor, transforms: list[Callable[[Image], Tensor]], seed: int) -> None:
        self.part, self.order, self.transforms, self.seed = part, order.tolist(), transforms, seed

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> Tensor:
        path = self.part.root / self.part.paths[self.order[place]]
        image = open_rgb(path, printable(path), self.part.exif)
        views = []
        for number, transform in enumerate(self.transforms):
            # timm and torchvision draw from three global generators; this runs in a worker process, where nobody else
            # does.
            seed = derive(self.seed, place, number)
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)
            views.append(transform(image))
        return torch.stack(views)


def _loaded(files: _Files, batch_size: int) -> Iterator[Tensor]:
    """Yield batches that worker processes have read; what they complain of is one line, as everywhere."""
    pinned = files.part.labels.device.type == "cuda"
    try:
        yield from DataLoader(files, batch_size, num_workers=torch.get_num_threads(), pin_memory=pinned)
    except UserError as error:
        raise UserError(str(error).strip().splitlines()[-1].partition("UserError: ")[2] or str(error)) from None
