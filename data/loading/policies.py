"""Automatic augmentation of a whole batch: torchvision's policies, with draws of its own for every image.

``autoaugment`` is AutoAugment's policy for CIFAR-10 (Cubuk et al., CVPR 2019), ``randaugment-9`` two operations of
magnitude 9, of 0 to 30 (RandAugment, Cubuk et al., 2020), ``trivial`` one of any magnitude (TrivialAugmentWide, Müller
& Hutter, ICCV 2021). What is moved in from outside the image is grey (128) with the first two, as in the code of the
contrastive papers, and black with ``trivial``, as torchvision has it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from headbench.core.errors import UserError
from headbench.data.loading.choices import Choices, Function, apply, unchanged

NAMES = re.compile(r"trivial|autoaugment|randaugment-(\d|[12]\d|30)")
MIDDLE = 128
MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
# AutoAugment's; the others say their own.
AUTOAUGMENT_BINS = 10

# An operation of torchvision's with its signed magnitude.
Action = tuple[str, float]


def made(name: str, transforms: ModuleType) -> Any:
    """Return a policy as torchvision has it in its module ``transforms`` or ``transforms.v2``.

    Raises:
        UserError: if the name is none of torchvision's.
    """
    if not NAMES.fullmatch(name):
        raise UserError(
            f"policy '{name}' is timm's, for streamed images; images in memory have autoaugment, randaugment-9 "
            f"(magnitudes 0 to 30) and trivial"
        )
    if name == "trivial":
        return transforms.TrivialAugmentWide()
    if name == "autoaugment":
        return transforms.AutoAugment(transforms.AutoAugmentPolicy.CIFAR10, fill=MIDDLE)
    return transforms.RandAugment(magnitude=int(name.removeprefix("randaugment-")), fill=MIDDLE)


@dataclass(frozen=True)
class Policy:
    """A policy for images of one size, as tables.

    Attributes:
        actions: every operation with every signed magnitude that it may have; the first one changes nothing.
        table: (rows, steps, 2) which action each step of a row is, by its sign.
        probabilities: (rows, steps) of each step.
        rounds: rows that each image draws, one after the other.
        fill: of what is moved in from outside.
    """

    actions: tuple[Action, ...]
    table: Tensor
    probabilities: Tensor
    rounds: int
    fill: int

    def draw(self, count: int, stream: torch.Generator) -> Tensor:
        """Draw the actions of N images, (rounds * steps, N) int64, in their order."""
        rows, steps = self.probabilities.shape
        row = torch.randint(rows, (self.rounds, count), generator=stream)
        happens = torch.rand(self.rounds, count, steps, generator=stream) <= self.probabilities[row]
        sign = torch.randint(2, (self.rounds, count, steps), generator=stream)
        action = self.table[row[..., None], torch.arange(steps), sign]
        return torch.where(happens, action, 0).transpose(1, 2).reshape(-1, count)


@cache
def policy(name: str, height: int, width: int) -> Policy:
    """Return a policy by name.

    Raises:
        UserError: if the name is none of torchvision's.
    """
    from torchvision.transforms import v2

    source = made(name, v2)
    bins = getattr(source, "num_magnitude_bins", AUTOAUGMENT_BINS)
    if isinstance(source, v2.AutoAugment):
        rows = source._policies
    else:
        magnitudes = [source.magnitude] if isinstance(source, v2.RandAugment) else range(bins)
        rows = [((operation, 1.0, number),) for operation in source._AUGMENTATION_SPACE for number in magnitudes]

    def signed(operation: str, number: int) -> tuple[Action, Action]:
        values, has_sign = source._AUGMENTATION_SPACE[operation]
        steps = values(bins, height, width)
        magnitude = 0.0 if steps is None else float(steps[number])
        return (operation, -magnitude if has_sign else magnitude), (operation, magnitude)

    pairs = [[signed(operation, number) for operation, _, number in row] for row in rows]
    actions = tuple(dict.fromkeys([("Identity", 0.0), *(action for row in pairs for pair in row for action in pair)]))
    return Policy(
        actions,
        torch.tensor([[[actions.index(action) for action in pair] for pair in row] for row in pairs]),
        torch.tensor([[probability for _, probability, _ in row] for row in rows]),
        getattr(source, "num_ops", 1),
        source.fill or 0,
    )


def drawn(
    name: str, count: int, shape: tuple[int, int, int], stream: torch.Generator, device: torch.device
) -> Callable[[Tensor, slice], Tensor]:
    """Draw an epoch of a policy.

    Args:
        name: of the policy.
        count: images in the epoch.
        shape: (channels, height, width) of the images; 1 or 3 channels.
        stream: CPU generator.
        device: of the images.

    Returns:
        A function that augments a batch of uint8 images, from it and the part of the epoch that it is.

    Raises:
        UserError: if the name is none of torchvision's, or for another number of channels.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise UserError(f"policy '{name}' is for images of 1 or 3 channels, and these have {channels}")
    chosen = policy(name, height, width)
    rounds = [Choices.on(device, actions) for actions in chosen.draw(count, stream)]
    functions = _functions(name, height, width, device)

    def augment(images: Tensor, part: slice) -> Tensor:
        for choices in rounds:
            images = apply(functions, choices[part], images)
        return images

    return augment


@cache
def _functions(name: str, height: int, width: int, device: torch.device) -> tuple[Function, ...]:
    """Return what each action of a policy does to the images that chose it."""
    from torchvision.transforms import v2

    source, chosen = made(name, v2), policy(name, height, width)

    def by_torchvision(action: Action, images: Tensor) -> Tensor:
        done: Tensor = source._apply_image_or_video_transform(images, *action, source.interpolation, source._fill)
        return done

    def function(action: Action) -> Function:
        """Return what one action does to images (n, channels, H, W) uint8."""
        operation, magnitude = action
        if operation == "Identity":
            return unchanged
        if operation in MOVES:
            # Where each pixel comes from, from 1 on, is what torchvision makes of an image of such numbers; 0: outside.
            numbers = torch.arange(1.0, height * width + 1).reshape(1, height, width)
            outside = v2.TrivialAugmentWide()
            origin = outside._apply_image_or_video_transform(numbers, *action, outside.interpolation, outside._fill)
            return partial(_moved, origin.long().flatten().to(device), chosen.fill)
        if operation == "Sharpness":
            return partial(_sharpened, 1.0 + magnitude)
        return lambda images, places: by_torchvision(action, images)

    return tuple(function(action) for action in chosen.actions)


def _moved(origin: Tensor, fill: int, images: Tensor, places: Tensor) -> Tensor:
    """Take each pixel from its origin (H * W,), 0 for the fill and else the number of a pixel from 1 on.

    torchvision's copies a matrix to the device at every call, which waits for it.
    """
    return F.pad(images.flatten(2), (1, 0), value=fill).index_select(2, origin).reshape(images.shape)


def _sharpened(factor: float, images: Tensor, places: Tensor) -> Tensor:
    """Move each uint8 image from (0) smoothed to (1) itself, and beyond, but for its border, as torchvision does.

    torchvision's copies its kernel to the device at every call, which waits for it.
    """
    if min(images.shape[-2:]) < 3:
        return images
    shown = images.to(torch.float32)
    inner = shown[..., 1:-1, 1:-1]
    # A mean over the 3 x 3 neighbours in which the middle counts five times.
    smooth = ((F.avg_pool2d(shown, 3, stride=1, divisor_override=1) + 4 * inner) / 13).round()
    inner.add_(smooth - inner, alpha=1 - factor)
    return shown.clamp(0, 255).to(torch.uint8)
