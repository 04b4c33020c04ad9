"""One of several functions for every image of a batch, each image's own, without a loop over images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# (some images of a batch (n, channels, H, W), their places in the batch (n,) int64) to images of that shape.
Function = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Choices:
    """Which function each image gets, known on both sides, so that no step waits for the device.

    Attributes:
        known: (N,) int64 on the CPU.
        there: the same on the images' device.
    """

    known: Tensor
    there: Tensor

    @classmethod
    def on(cls, device: torch.device, known: Tensor) -> "Choices":
        """Lay choices (N,) that were drawn on the CPU."""
        return cls(known, known.to(device))

    def __getitem__(self, chosen: slice) -> "Choices":
        """Return those of a batch."""
        return Choices(self.known[chosen], self.there[chosen])


def apply(functions: Sequence[Function], choices: Choices, images: Tensor) -> Tensor:
    """Return images (B, channels, H, W), each after the function that it has chosen; each function is called at most
    once, with all of its images.
    """
    numbers, sizes = torch.unique(choices.known, return_counts=True)
    order, split = torch.argsort(choices.there), sizes.tolist()
    pieces = zip(
        numbers.tolist(), torch.split(images.index_select(0, order), split), torch.split(order, split), strict=True
    )
    done = torch.cat([functions[number](piece, places) for number, piece, places in pieces])
    return done.index_select(0, torch.argsort(order))


def unchanged(images: Tensor, places: Tensor) -> Tensor:
    """Return images as they are."""
    return images
