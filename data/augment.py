"""Augmentation of a whole batch on its device, with parameters of its own for every image."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """What a recipe's weak view does: pad by ``pad`` zero pixels and crop back at random; flip left-right with probability 1/2 if ``flip``."""

    pad: int
    flip: bool


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


@dataclass(frozen=True)
class Draws:
    """One epoch's augmentation parameters for N images, (N,) each, on the device; the fields are those of :func:`pad_crop_flip`."""

    top: Tensor
    left: Tensor
    flip: Tensor


def weak_draws(count: int, augmentation: Augmentation, stream: torch.Generator, device: torch.device) -> Draws:
    """Draw the weak view's parameters for ``count`` images from a CPU stream, so that every device sees the same augmentation."""
    offsets = torch.randint(0, 2 * augmentation.pad + 1, (2, count), generator=stream)
    flips = torch.rand(count, generator=stream) < (0.5 if augmentation.flip else 0.0)
    return Draws(offsets[0].to(device), offsets[1].to(device), flips.to(device))


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Map uint8 images (..., channels, H, W) to float32, (x / 255 - mean) / std per channel."""
    return (images.to(torch.float32) - 255 * mean[:, None, None]) / (255 * std[:, None, None])
