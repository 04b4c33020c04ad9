"""Contrastive views: a random crop, changes of colour, sometimes no colour at all; no blur."""

from collections.abc import Callable
from functools import partial

import torch
from PIL.Image import Image
from torch import Tensor

from headbench.core.errors import UserError
from headbench.data.loading import colours
from headbench.data.loading.augment import Augmentation, Statistics, normalise
from headbench.data.loading.choices import Choices, Function, apply, unchanged
from headbench.data.loading.crops import draw_boxes, resized_crop
from headbench.data.loading.views.registry import FILE_VIEWS, VIEWS, Show

# The least part of an image's area that is shown.
SIMCLR, SUPCON = 0.08, 0.2
# Brightness, contrast and saturation change by a factor within 1 -+ STRENGTH, hue by up to HUE of the circle.
STRENGTH, HUE = 0.4, 0.1
JITTERED, GREY = 0.8, 0.2
JITTERS = (colours.brightness, colours.contrast, colours.saturation, colours.hue)


def _view(
    smallest: float,
    count: int,
    augmentation: Augmentation,
    statistics: tuple[Tensor, Tensor],
    shape: tuple[int, int, int],
    stream: torch.Generator,
) -> Show:
    """A crop of ``smallest`` to 100 % of the image, its colours changed; mirrored where the recipe flips."""
    if shape[0] not in (1, 3):
        raise UserError(f"changes of colour are for images of 1 or 3 channels, and these have {shape[0]}")
    device = statistics[0].device
    boxes = draw_boxes(count, *shape[1:], smallest, stream).to(device)
    flip = (torch.rand(count, generator=stream) < (0.5 if augmentation.flip else 0.0)).to(device)
    drawn, factors = draw_jitter(count, stream)
    rounds, factors = [Choices.on(device, each) for each in drawn], factors.to(device)
    grey = (torch.rand(count, generator=stream) < GREY).to(device)

    def show(images: Tensor, chosen: slice) -> Tensor:
        shown = resized_crop(images, boxes[:, chosen], flip[chosen])
        shown = jitter(shown, [each[chosen] for each in rounds], factors[:, chosen])
        shown = torch.where(grey[chosen][:, None, None, None], colours.greyscale(shown), shown)
        return normalise(shown, *statistics)

    return show


def draw_jitter(count: int, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw which change of ``JITTERS`` each image gets first to last (4, N), 4 for none, and their factors (4, N)."""
    order = torch.rand(count, len(JITTERS), generator=stream).argsort(dim=1)
    jittered = torch.rand(count, generator=stream) < JITTERED
    factors = 2 * torch.rand(len(JITTERS), count, generator=stream) - 1
    factors = torch.cat([1 + STRENGTH * factors[:3], HUE * factors[3:]])
    return torch.where(jittered, order.T, len(JITTERS)), factors


def jitter(images: Tensor, rounds: list[Choices], factors: Tensor) -> Tensor:
    """Change the colours of images (B, channels, H, W) from 0 to 255, each in the order of its own.

    Args:
        images: float.
        rounds: which change each image gets first to last.
        factors: (4, B) of each change.
    """

    def with_factors(number: int) -> Function:
        return lambda piece, places: JITTERS[number](piece, factors[number, places])

    changes = [*(with_factors(number) for number in range(len(JITTERS))), unchanged]
    for choices in rounds:
        images = apply(changes, choices, images)
    return images


def _file_view(
    smallest: float, augmentation: Augmentation, size: int, statistics: Statistics
) -> Callable[[Image], Tensor]:
    """The same by torchvision's transforms."""
    from torchvision import transforms as tv

    transform: Callable[[Image], Tensor] = tv.Compose(
        [
            tv.RandomResizedCrop(size, scale=(smallest, 1.0)),
            tv.RandomHorizontalFlip(0.5 if augmentation.flip else 0.0),
            tv.RandomApply([tv.ColorJitter(STRENGTH, STRENGTH, STRENGTH, HUE)], JITTERED),
            tv.RandomGrayscale(GREY),
            tv.ToTensor(),
            tv.Normalize(*statistics),
        ]
    )
    return transform


# A crop of 8 to 100 % of the image, and one of 20 to 100 %.
VIEWS.register("simclr", version=1, paper="Chen et al., ICML 2020", source="as BCL on ImageNet-LT and ProCo have it")(
    partial(_view, SIMCLR)
)
VIEWS.register("supcon", version=1, paper="Khosla et al., NeurIPS 2020", source="as SBCL has it")(
    partial(_view, SUPCON)
)
FILE_VIEWS.register("simclr", version=1)(partial(_file_view, SIMCLR))
FILE_VIEWS.register("supcon", version=1)(partial(_file_view, SUPCON))
