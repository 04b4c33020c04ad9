"""Changes of colour of a whole batch, with a factor of its own for every image, as torchvision's of one image.

Images are (B, 1 or 3, H, W) float, from 0 to 255, and are not rounded. Where there is one channel, saturation and hue
do not exist, and the image stays as it is.
"""

import torch
from torch import Tensor

WHITE = 255.0
# ITU-R 601-2, rounded as torchvision has it.
LUMA = (0.2989, 0.587, 0.114)


def greyscale(images: Tensor) -> Tensor:
    """Return the luminance (B, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = torch.split(images, 1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply each image by its factor (B,)."""
    return (images * _each(factor)).clamp_(0, WHITE)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Move each image from (0) its mean luminance to (1) itself, and beyond, by its factor (B,)."""
    return _between(greyscale(images).mean(dim=(1, 2, 3), keepdim=True), images, factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Move each image from (0) its luminance to (1) itself, and beyond, by its factor (B,)."""
    return images if images.shape[1] == 1 else _between(greyscale(images), images, factor)


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of each image by its part (B,) of the circle of colours; saturation and value of HSV stay."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    least, most = (extreme(extreme(red, green), blue) for extreme in (torch.minimum, torch.maximum))
    chroma = most - least
    # A grey pixel has no hue, and chroma 0 makes it irrelevant.
    coloured = torch.where(chroma > 0, chroma, 1.0)
    # In sixths of the circle: red at 0, green at 2, blue at 4.
    angle = torch.where(
        most == red,
        (green - blue) / coloured,
        torch.where(most == green, 2 + (blue - red) / coloured, 4 + (red - green) / coloured),
    )
    angle = angle + 6 * shift[:, None, None]
    angle = angle - 6 * torch.floor(angle / 6)
    # A channel is at its maximum within a sixth of its own colour, at its minimum from two sixths on.
    parts = [(angle - 3).abs() - 1, 2 - (angle - 2).abs(), 2 - (angle - 4).abs()]
    return torch.stack(parts, dim=1).clamp_(0, 1).mul_(chroma[:, None]).add_(least[:, None])


def _each(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]


def _between(start: Tensor, end: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(start, end, _each(factor)).clamp_(0, WHITE)
