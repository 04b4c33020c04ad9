"""Augmentation of a whole batch on its device, with parameters of its own for every image."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from headbench.core import augmentations

# Beginnings of the names of policies; AutoAugment is also that of timm, for ImageNet.
POLICIES = {
    "autoaugment": "autoaugment",
    "original": "autoaugment",
    "v0": "autoaugment",
    "rand": "randaugment",
    "3a": "threeaugment",
    "trivial": "trivialaugment",
    "augmix": "augmix",
}


# Mean and standard deviation of each channel, of pixels in [0, 1].
Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Augmentation:
    """What a recipe does to training images.

    Attributes:
        pad: zero pixels around an image before the random crop back to its size; 0 crops nothing.
        flip: mirror left-right with probability 1/2, or every other epoch (``alternating``), which the epoch does, see
            :mod:`headbench.data.loading.epoch`.
        cutout: side in pixels of the square that is set to one colour; 0 cuts nothing.
        cutout_fill: that colour: ``mean``, what normalisation makes 0, or ``black``, as the contrastive papers cut it
            before they normalise.
        mixup: alpha of the Beta distribution of mixup's lambda; 0 mixes nothing.
        cutmix: the same for CutMix; where both are given, each batch takes one of the two at random.
        policy: automatic augmentation: one of torchvision's, see :mod:`headbench.data.loading.policies`
            (``autoaugment``, ``randaugment-9``, ``trivial``), of streamed images also one of timm's
            (``rand-m9-mstd0.5-inc1``, or AutoAugment's policy for ImageNet, ``original``), or none.
        color_jitter: strength of timm's colour jitter of streamed images.
        random_erasing: probability of timm's random erasing of streamed images.
    """

    pad: int = 0
    flip: bool | Literal["alternating"] = False
    cutout: int = 0
    cutout_fill: str = "mean"
    mixup: float = 0.0
    cutmix: float = 0.0
    policy: str = ""
    color_jitter: float = 0.0
    random_erasing: float = 0.0

    def label(self, cropped: bool = False) -> str:
        """Return it as one label, see :mod:`headbench.core.augmentations`.

        Args:
            cropped: whether the images are cropped at random whatever ``pad`` is, as streamed ones are.
        """
        applied = {
            "crop": cropped or self.pad,
            "flip": self.flip,
            "jitter": self.color_jitter,
            "cutout": self.cutout,
            "erasing": self.random_erasing,
            "mixup": self.mixup,
            "cutmix": self.cutmix,
        } | {name: True for start, name in POLICIES.items() if self.policy.startswith(start)}
        return augmentations.label([name for name, strength in applied.items() if strength])


def pad_crop_flip(images: Tensor, pad: int, top: Tensor, left: Tensor, flip: Tensor) -> Tensor:
    """Pad with zeros, crop each image to its old size at its own offset, then mirror where asked.

    Args:
        images: (B, channels, H, W), any dtype.
        pad: pixels on every side.
        top: (B,) int64 in [0, 2 pad], first row of the crop.
        left: (B,) int64 in [0, 2 pad], first column of the crop.
        flip: (B,) bool.

    Returns:
        (B, channels, H, W). One gather serves crop and flip.
    """
    count, channels, height, width = images.shape
    device = images.device
    padded = F.pad(images, (pad, pad, pad, pad))
    rows = top[:, None] + torch.arange(height, device=device)
    columns = torch.arange(width, device=device).expand(count, width)
    columns = left[:, None] + torch.where(flip[:, None], width - 1 - columns, columns)
    sample = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


def cutout(images: Tensor, side: int, row: Tensor, column: Tensor, fill: Tensor) -> Tensor:
    """Set a square of each image to one colour; what lies outside the image is cut off.

    Args:
        images: (B, channels, H, W).
        side: of the square, in pixels.
        row: (B,) int64 in [0, H), the centre.
        column: (B,) int64 in [0, W), the centre.
        fill: (channels,) the colour.

    Source: DeVries & Taylor, 2017 (centre anywhere in the image, so that squares may be cut by its border).
    """
    height, width = images.shape[-2:]

    def covered(centre: Tensor, length: int) -> Tensor:
        offset = torch.arange(length, device=images.device) - (centre[:, None] - side // 2)
        return (offset >= 0) & (offset < side)

    hole = covered(row, height)[:, None, :, None] & covered(column, width)[:, None, None, :]
    return torch.where(hole, fill[:, None, None], images)


def mirrored(images: Tensor, where: Tensor) -> Tensor:
    """Mirror images (..., channels, H, W) left-right where a bool of the shape (...) says so."""
    return torch.where(where[..., None, None, None], images.flip(-1), images)


def scaled_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return height and width of an image whose shorter edge is brought down to ``side``; a smaller one stays."""
    factor = min(side / min(height, width), 1.0)
    return round(height * factor), round(width * factor)


def scaled(images: Tensor, side: int | None) -> Tensor:
    """Scale images (..., channels, H, W) so that their shorter edge has ``side`` pixels, without aliasing (bilinear);
    smaller ones, and all where it is None, stay as they are.
    """
    if side is None or side >= min(images.shape[-2:]):
        return images
    *many, channels, height, width = images.shape
    size = scaled_size(height, width, side)
    flat = images.reshape(-1, channels, height, width)
    return F.interpolate(flat, size=size, mode="bilinear", antialias=True).reshape(*many, channels, *size)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Map uint8 images (..., channels, H, W) to float32, (x / 255 - mean) / std per channel."""
    return (images.to(torch.float32) - 255 * mean[:, None, None]) / (255 * std[:, None, None])
