"""The image as it is; of a file, its middle."""

from collections.abc import Callable
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from headbench.data.loading.augment import Augmentation, Statistics, normalise
from headbench.data.loading.views.registry import FILE_VIEWS, VIEWS, Show

# Of an image's shorter side; 0.875 is the field's 256 to 224.
TEST_CROP = 0.875


@VIEWS.register("plain", version=1)
def plain(
    count: int,
    augmentation: Augmentation,
    statistics: tuple[Tensor, Tensor],
    shape: tuple[int, int, int],
    stream: torch.Generator,
) -> Show:
    """The image as it is, normalised."""
    return lambda images, chosen: normalise(images, *statistics)


@FILE_VIEWS.register("plain", version=1)
def middle(augmentation: Augmentation, size: int, statistics: Statistics) -> Callable[[Image], Tensor]:
    """The middle of the image, normalised."""
    return crop(size, mean=statistics[0], std=statistics[1])


def crop(size: int, **more: Any) -> Callable[[Image], Tensor]:
    """Return timm's transform of test images: scaled, and cropped in the middle to (3, size, size)."""
    from timm.data.transforms_factory import create_transform

    transform: Callable[[Image], Tensor] = create_transform(
        (3, size, size), is_training=False, crop_pct=TEST_CROP, interpolation="bicubic", **more
    )
    return transform
