"""A contact sheet: images as the network sees them, with their labels."""

import math
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

MARGIN, TEXT, SIDE, COLUMNS = 6, 26, 96, 10


def contact_sheet(images: Tensor, titles: list[str], mean: Tensor, std: Tensor) -> Image.Image:
    """Return a picture of images in rows, each above its title.

    Args:
        images: (N, channels, H, W) normalised, 1 or 3 channels.
        titles: N; two lines fit.
        mean: (channels,) that was subtracted.
        std: (channels,) that was divided by.
    """
    pixels = (images * std[:, None, None] + mean[:, None, None]).clamp(0, 1)
    bytes_ = (255 * pixels).round().to(torch.uint8).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    width, height = SIDE + MARGIN, SIDE + TEXT + MARGIN
    sheet = Image.new("RGB", (COLUMNS * width + MARGIN, math.ceil(len(titles) / COLUMNS) * height + MARGIN), "white")
    # With letters beyond ASCII, which Pillow's own font lacks.
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 9)
    draw = ImageDraw.Draw(sheet)
    for number, (image, title) in enumerate(zip(bytes_, titles, strict=True)):
        left, top = MARGIN + number % COLUMNS * width, MARGIN + number // COLUMNS * height
        sheet.paste(_scaled(image), (left, top))
        draw.multiline_text((left, top + SIDE + 1), title, fill="black", font=font, spacing=1)
    return sheet


def _scaled(image: np.ndarray) -> Image.Image:
    """Scale to fit a square of SIDE pixels, small images by whole pixels, so that nothing is smoothed away."""
    height, width = image.shape[:2]
    factor = SIDE / max(height, width)
    kind = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS
    return Image.fromarray(image).resize((max(round(width * factor), 1), max(round(height * factor), 1)), kind)
