"""The named views that a head may ask for, for images that are resident on the device.

A view is a function that draws the parameters of one epoch, and returns the function that shows a batch. Contrastive
views go here.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from headbench.data.loading.augment import Augmentation, cutout, normalise, pad_crop_flip

# (images (B, channels, H, W) uint8, which of the epoch's draws belong to them) to float32 images.
Show = Callable[[Tensor, slice], Tensor]
View = Callable[[int, Augmentation, tuple[Tensor, Tensor], tuple[int, int, int], torch.Generator], Show]


def weak(
    count: int,
    augmentation: Augmentation,
    statistics: tuple[Tensor, Tensor],
    shape: tuple[int, int, int],
    stream: torch.Generator,
) -> Show:
    """The recipe's crop, flip and cutout; drawn on the CPU, so that every device sees the same.

    Args:
        count: images in the epoch.
        augmentation: of the recipe.
        statistics: mean and deviation per channel, on the images' device.
        shape: (channels, height, width).
        stream: CPU generator.
    """
    device = statistics[0].device
    top, left = torch.randint(0, 2 * augmentation.pad + 1, (2, count), generator=stream).to(device)
    flip = (torch.rand(count, generator=stream) < (0.5 if augmentation.flip else 0.0)).to(device)
    row, column = (torch.randint(0, side, (count,), generator=stream).to(device) for side in shape[1:])

    def show(images: Tensor, chosen: slice) -> Tensor:
        shown = normalise(pad_crop_flip(images, augmentation.pad, top[chosen], left[chosen], flip[chosen]), *statistics)
        return cutout(shown, augmentation.cutout, row[chosen], column[chosen]) if augmentation.cutout else shown

    return show


def plain(
    count: int,
    augmentation: Augmentation,
    statistics: tuple[Tensor, Tensor],
    shape: tuple[int, int, int],
    stream: torch.Generator,
) -> Show:
    """The image as it is."""
    return lambda images, chosen: normalise(images, *statistics)


VIEWS: dict[str, View] = {"weak": weak, "plain": plain}
