"""Random crops of any size and shape, scaled to the size of the image: of a batch at once, a box of its own each."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

RATIOS = (3 / 4, 4 / 3)
TRIES = 10


def draw_boxes(count: int, height: int, width: int, smallest: float, stream: torch.Generator) -> Tensor:
    """Draw boxes as torchvision's RandomResizedCrop does, on the CPU.

    Args:
        count: N.
        height: of the images.
        width: of the images.
        smallest: least part of the image's area that a box has; the most is all of it.
        stream: CPU generator.

    Returns:
        (4, N) int64: top, left, height, width. The area is uniform, the logarithm of the ratio of sides too. A box that
        does not fit is drawn again, ten times at most, then it is the largest one in the middle with such a ratio.
    """
    area = height * width * (smallest + (1 - smallest) * torch.rand(count, TRIES, generator=stream))
    low, high = (math.log(ratio) for ratio in RATIOS)
    ratio = torch.exp(low + (high - low) * torch.rand(count, TRIES, generator=stream))
    heights, widths = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    found, first = fits.any(dim=1), fits.int().argmax(dim=1, keepdim=True)
    largest = torch.tensor([[min(height, round(width / RATIOS[0]))], [min(width, round(height * RATIOS[1]))]])
    sides = torch.where(found, torch.stack([heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]]), largest)
    room = torch.tensor([[height], [width]]) - sides
    corner = torch.where(found, (torch.rand(2, count, generator=stream) * (room + 1)).long(), room // 2)
    return torch.cat([corner, sides])


def resized_crop(images: Tensor, boxes: Tensor, flip: Tensor) -> Tensor:
    """Cut a box out of each image, scale it to the image's size (bilinear), then mirror it where asked.

    Args:
        images: (B, channels, H, W), any dtype.
        boxes: (4, B) int64: top, left, height, width.
        flip: (B,) bool.

    Returns:
        (B, channels, H, W) float32, not rounded.
    """
    height, width = images.shape[-2:]
    top, left, tall, wide = boxes
    rows, columns = (torch.arange(side, device=images.device).expand(len(images), side) for side in (height, width))
    columns = torch.where(flip[:, None], width - 1 - columns, columns)
    grid = torch.empty(len(images), height, width, 2, device=images.device)
    grid[..., 0] = _positions(columns, left, wide)[:, None, :]
    grid[..., 1] = _positions(rows, top, tall)[:, :, None]
    return F.grid_sample(images.to(torch.float32), grid, "bilinear", "border", align_corners=False)


def _positions(places: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """Return where the pixels at places (B, side) of a scaled box come from, from -1 to 1 over the whole image.

    Nothing is taken from beyond the middle of the box's outermost pixels, so that none of its neighbours is seen.
    """
    side = places.shape[1]
    within = (places + 0.5) * (length[:, None] / side) - 0.5
    return (2 * (start[:, None] + within.clamp(min=0).minimum(length[:, None] - 1)) + 1) / side - 1
