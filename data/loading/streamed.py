"""The streaming form of the loader: image files read by worker processes through timm's transforms, batch by batch."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from headbench.core.batch import Batch, Targets
from headbench.core.errors import UserError
from headbench.core.streams import derive
from headbench.data.formats.decoding import open_rgb
from headbench.data.formats.walking import printable
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.mixing import draw_mixes, mix
from headbench.data.loading.resident import Epoch, epoch_order
from headbench.data.registry import FileSet

EVAL_BATCH = 100
# Of an image's shorter side; 0.875 is the field's 256 to 224.
TEST_CROP = 0.875


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

    views: ClassVar = ("weak", "plain")
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

    def batches(self, epoch: Epoch) -> Iterator[Batch]:
        """Yield one epoch of augmented batches.

        Each image draws from a seed of its own, so that the number of workers changes nothing.
        """
        device, augmentation = self.labels.device, epoch.augmentation
        order = epoch_order(self.labels.cpu(), epoch.sampler, epoch.stream("order"))
        slices = epoch.slices(len(order))
        transforms = [self._training(augmentation) if view == "weak" else self._plain() for view in epoch.views]
        seed = derive(epoch.seed, "stream", epoch.number)
        mixes = draw_mixes(len(order), len(slices), augmentation, self.image_shape, seed, device)
        files = _Files(self, order[: slices[-1].stop], transforms, seed)
        for step, (images, indices) in enumerate(_loaded(files, epoch.batch_size)):
            chosen = indices.to(device, non_blocking=True)
            shown = images.to(device, non_blocking=True).transpose(0, 1).contiguous()
            batch = Batch(shown, Targets.plain(self.labels[chosen], chosen))
            yield (
                batch if mixes is None else mix(batch, mixes.keys[slices[step]], mixes.weights[step], mixes.boxes[step])
            )

    def plain_batches(self) -> Iterator[Tensor]:
        """Yield all images in order, scaled and cropped in the middle, normalised, (B, 3, size, size)."""
        for images, _ in _loaded(_Files(self, torch.arange(len(self)), [self._plain()], 0), EVAL_BATCH):
            yield images[:, 0].to(self.labels.device, non_blocking=True)

    def _plain(self) -> Any:
        from timm.data.transforms_factory import create_transform

        return create_transform(
            self.image_shape,
            is_training=False,
            mean=self.mean,
            std=self.std,
            crop_pct=TEST_CROP,
            interpolation="bicubic",
        )

    def _training(self, augmentation: Augmentation) -> Any:
        """Return timm's training transform: random resized crop, flip, policy or colour jitter, normalisation, random
        erasing.
        """
        from timm.data.transforms_factory import create_transform
        from torchvision.transforms import Compose, TrivialAugmentWide

        trivial = augmentation.policy == "trivial"
        crop, colour, final = create_transform(
            self.image_shape,
            is_training=True,
            hflip=0.5 if augmentation.flip else 0.0,
            color_jitter=augmentation.color_jitter,
            auto_augment=None if trivial else augmentation.policy or None,
            interpolation="bicubic",
            mean=self.mean,
            std=self.std,
            re_prob=augmentation.random_erasing,
            separate=True,
        )
        return Compose([crop, TrivialAugmentWide() if trivial else colour, final])


class _Files(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The images of one epoch in its order: all views (V, 3, H, W) of one file, and its position in the part."""

    def __init__(self, part: Streamed, order: Tensor, transforms: list[Any], seed: int) -> None:
        self.part, self.order, self.transforms, self.seed = part, order.tolist(), transforms, seed

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
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
        return torch.stack(views), self.order[place]


def _loaded(files: _Files, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches that worker processes have read; what they complain of is one line, as everywhere."""
    pinned = files.part.labels.device.type == "cuda"
    try:
        yield from DataLoader(files, batch_size, num_workers=torch.get_num_threads(), pin_memory=pinned)
    except UserError as error:
        raise UserError(str(error).strip().splitlines()[-1].partition("UserError: ")[2] or str(error)) from None
