"""The test images of another data set, shown as a classifier's own images are."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from headbench.core.errors import UserError
from headbench.data.loading.augment import Statistics, normalise
from headbench.data.loading.readers import Readers
from headbench.data.loading.resident import EVAL_BATCH
from headbench.data.loading.streamed import Streamed
from headbench.data.registry import FileSet, Samples

# Red, green and blue in grey, by ITU-R BT.601, as Pillow's mode L.
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Foreign:
    """Images of another data set.

    Attributes:
        label: of that data set.
        samples: as that data set has them.
        image_shape: (channels, height, width) in which they are shown.
        statistics: mean and standard deviation by channel, of pixels in [0, 1], by which they are normalised.
        device: where they are shown.
        readers: of files.
    """

    label: str
    samples: Samples
    image_shape: tuple[int, int, int]
    statistics: Statistics
    device: torch.device
    readers: Readers = field(default_factory=Readers)

    def __len__(self) -> int:
        return len(self.samples)

    def plain_batches(self) -> Iterator[Tensor]:
        """Yield all images in order, (B, channels, H, W), in whole pixel values before they are normalised."""
        mean, std = (torch.tensor(values, device=self.device) for values in self.statistics)
        for pixels in self._pixels():
            yield normalise(adapted(pixels.to(self.device, torch.float32), self.image_shape), mean, std)

    def _pixels(self) -> Iterator[Tensor]:
        """Yield all images in order, (B, channels, H, W), from 0 to 255; files cropped to a square."""
        if not isinstance(self.samples, FileSet):
            yield from torch.split(self.samples.images, EVAL_BATCH)
            return
        files, bare = replace(self.samples, size=max(self.image_shape[1:])), ((0.0,) * 3, (1.0,) * 3)
        positions = torch.arange(len(files))
        cpu = torch.device("cpu")
        for images in Streamed.of(files, positions, files.labels, bare, cpu, self.readers).plain_batches():
            yield 255 * images


def check(shape: tuple[int, int, int], wanted: tuple[int, int, int]) -> None:
    """Raise UserError where images of a shape (channels, height, width) cannot be brought to the wanted one."""
    if shape[0] != wanted[0] and not {shape[0], wanted[0]} <= {1, 3}:
        raise UserError(f"its images have {shape[0]} channels, not {wanted[0]}; only grey and colour are converted")


def adapted(pixels: Tensor, wanted: tuple[int, int, int]) -> Tensor:
    """Bring images (B, channels, H, W) of pixels from 0 to 255 to the wanted channels, height and width.

    Sizes are scaled without aliasing (bilinear), whatever their ratio; grey is repeated, colour becomes luma. Values
    are rounded, since those of no classifier's own images lie between two whole numbers.
    """
    channels, size = wanted[0], wanted[1:]
    if pixels.shape[1] > channels:
        pixels = (pixels * torch.tensor(GREY, device=pixels.device)[:, None, None]).sum(dim=1, keepdim=True)
    if pixels.shape[-2:] != size:
        pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return pixels.round().expand(-1, channels, -1, -1)
