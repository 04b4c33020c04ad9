"""The recipe's augmentation, as most heads train on."""

from collections.abc import Callable
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from headbench.core.errors import UserError
from headbench.data.loading import policies
from headbench.data.loading.augment import Augmentation, Statistics, cutout, normalise, pad_crop_flip
from headbench.data.loading.views.registry import FILE_VIEWS, VIEWS, Show


@VIEWS.register("weak", version=1)
def weak(
    count: int,
    augmentation: Augmentation,
    statistics: tuple[Tensor, Tensor],
    shape: tuple[int, int, int],
    stream: torch.Generator,
) -> Show:
    """The recipe's crop, flip, policy and cutout, in this order; a flip that alternates is done to the whole.

    Args:
        count: images in the epoch.
        augmentation: of the recipe.
        statistics: mean and deviation per channel, on the images' device.
        shape: (channels, height, width).
        stream: CPU generator.

    Raises:
        UserError: for a policy that images in memory do not have.
    """
    mean, std = statistics
    device = mean.device
    top, left = torch.randint(0, 2 * augmentation.pad + 1, (2, count), generator=stream).to(device)
    flip = (torch.rand(count, generator=stream) < (0.5 if augmentation.flip is True else 0.0)).to(device)
    row, column = (torch.randint(0, side, (count,), generator=stream).to(device) for side in shape[1:])
    policy = augmentation.policy and policies.drawn(augmentation.policy, count, shape, stream, device)
    fill = torch.zeros_like(mean) if augmentation.cutout_fill == "mean" else -mean / std

    def show(images: Tensor, chosen: slice) -> Tensor:
        shown = pad_crop_flip(images, augmentation.pad, top[chosen], left[chosen], flip[chosen])
        shown = normalise(policy(shown, chosen) if policy else shown, mean, std)
        return cutout(shown, augmentation.cutout, row[chosen], column[chosen], fill) if augmentation.cutout else shown

    return show


@FILE_VIEWS.register("weak", version=1)
def random_crop(augmentation: Augmentation, size: int, statistics: Statistics) -> Callable[[Image], Tensor]:
    """Timm's training transform: random resized crop, flip, policy or colour jitter, normalisation, random erasing.

    Raises:
        UserError: for a policy that timm does not understand.
    """
    from timm.data import auto_augment
    from timm.data.transforms_factory import create_transform
    from torchvision import transforms

    posterised = dict.fromkeys(("Posterize", "PosterizeOriginal", "PosterizeIncreasing"), _posterised)
    auto_augment.NAME_TO_OP.update(posterised)
    policy = augmentation.policy
    torchvisions = policies.made(policy, transforms) if policies.NAMES.fullmatch(policy) else None
    try:
        cropped, colour, final = create_transform(
            (3, size, size),
            is_training=True,
            hflip=0.5 if augmentation.flip is True else 0.0,
            color_jitter=augmentation.color_jitter,
            auto_augment=None if torchvisions else policy or None,
            interpolation="bicubic",
            mean=statistics[0],
            std=statistics[1],
            re_prob=augmentation.random_erasing,
            separate=True,
        )
    except AssertionError as error:
        raise UserError(f"policy '{policy}': timm says: {error}") from None
    transform: Callable[[Image], Tensor] = transforms.Compose([cropped, torchvisions or colour, final])
    return transform


def _posterised(image: Image, bits: int, **more: Any) -> Image:
    """Return what timm's operation does, and of no bits a black image, as before Pillow 13, which refuses them."""
    from timm.data.auto_augment import posterize

    shown: Image = posterize(image, bits, **more) if bits else image.point(lambda _: 0)  # type: ignore[no-untyped-call]
    return shown
