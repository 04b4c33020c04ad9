"""Images from files and folders: decoding, class folders, list files."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from core.errors import UserError
from data.registry import FileSet, ImageSet

# As torchvision's IMG_EXTENSIONS.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def open_rgb(encoded: bytes | Path, place: str) -> Image.Image:
    """Return an image in RGB.

    Raises:
        UserError: naming the place, if it is not an image.
    """
    try:
        with Image.open(encoded if isinstance(encoded, Path) else io.BytesIO(encoded)) as opened:
            return opened.convert("RGB")
    except (UnidentifiedImageError, OSError, TypeError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise UserError(f"{place}: not an image, or damaged") from None


def decode(encoded: bytes | Path, size: int | None, place: str) -> np.ndarray:
    """Return one image (3, H, W) uint8; grey becomes RGB. With ``size``, the shorter side is scaled to it (bilinear) and the middle square kept.

    Raises:
        UserError: naming the place, if it is not an image.
    """
    image = open_rgb(encoded, place)
    if size is not None and image.size != (size, size):
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    return np.asarray(image).transpose(2, 0, 1)


def stack(images: Iterable[tuple[np.ndarray, str]], count: int, side: int | None) -> torch.Tensor:
    """Return ``count`` decoded images, each with its place for messages, as one tensor (count, 3, H, W).

    Args:
        images: pairs of an image (3, H, W) and its place.
        count: their number, at least 1.
        side: H = W that all must have, or None for the size of the first.

    Raises:
        UserError: naming the first image of another size.
    """
    stacked = np.empty((count, 3, side or 0, side or 0), dtype=np.uint8)
    for number, (image, place) in enumerate(images):
        if number == 0 and side is None:
            stacked = np.empty((count, *image.shape), dtype=np.uint8)
        (_, height, width), (_, _, wanted_height, wanted_width) = image.shape, stacked.shape
        if (height, width) != (wanted_height, wanted_width):
            hint = " as those before it; the option size: PIXELS brings all images to one size" if side is None else ""
            raise UserError(f"{place}: the image is {width}x{height}, not {wanted_width}x{wanted_height}{hint}")
        stacked[number] = image
    return torch.from_numpy(stacked)


def class_folders(folder: Path) -> list[str]:
    """Return the names of a folder's class folders, sorted; hidden ones are not classes.

    Raises:
        UserError: if the folder is missing or has no class folder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise UserError(f"{folder} has no class folders")
    return names


def labelled_files(folder: Path, classes: list[str]) -> tuple[list[str], list[int]]:
    """Return the images (relative to ``folder``) below each class folder and their labels, sorted; hidden files are not images.

    Raises:
        UserError: for a class without images, a class folder that is not among ``classes``, or a file that is no image by its name.
    """
    for name in class_folders(folder):
        if name not in classes:
            raise UserError(f"{folder / name}: a class that the training folder does not have")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        below = folder / name
        found = sorted(path for path in below.rglob("*") if path.is_file() and not any(part.startswith(".") for part in path.relative_to(below).parts))
        for path in found:
            if path.suffix.lower() not in EXTENSIONS:
                raise UserError(f"{path}: not an image by its name; known: {', '.join(EXTENSIONS)}")
        if not found:
            raise UserError(f"{folder / name}: a class without images")
        paths += [path.relative_to(folder).as_posix() for path in found]
        labels += [label] * len(found)
    return paths, labels


def image_set(folder: Path, paths: list[str], labels: list[int], *, size: int | None = None, side: int | None = None) -> ImageSet:
    """Decode files into one tensor: brought to ``size``, or checked to have ``side``, or all of one size."""
    decoded = ((decode(folder / path, size, str(folder / path)), str(folder / path)) for path in paths)
    return ImageSet(stack(decoded, len(paths), size or side), torch.tensor(labels))


def file_set(folder: Path, paths: list[str], labels: list[int], size: int) -> FileSet:
    """Return files to be read batch by batch.

    Raises:
        UserError: naming the first one that is not there.
    """
    for path in paths:
        if not (folder / path).is_file():
            raise UserError(f"there is no image {folder / path}")
    return FileSet(folder, tuple(paths), torch.tensor(labels), size)


def listed_files(file: Path, num_classes: int) -> tuple[list[str], list[int]]:
    """Read a list file: a path and a label per line.

    Raises:
        UserError: naming the file, and the line that is wrong.
    """
    if not file.is_file():
        raise UserError(f"there is no list file {file}")
    paths, labels = [], []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        path, _, label = line.strip().rpartition(" ")
        if not path or not label.isdecimal():
            raise UserError(f"{file}, line {number}: not 'path label': {line[:80]!r}")
        if int(label) >= num_classes:
            raise UserError(f"{file}, line {number}: label {label}, but there are {num_classes} classes")
        paths.append(path)
        labels.append(int(label))
    if not paths:
        raise UserError(f"{file}: empty")
    return paths, labels


def statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of images (N, channels, H, W) uint8, of pixels in [0, 1], from exact integer sums."""
    total, squares = torch.zeros(images.shape[1], dtype=torch.int64), torch.zeros(images.shape[1], dtype=torch.int64)
    for chunk in torch.split(images, 1000):
        values = chunk.to(torch.int64)
        total += values.sum(dim=(0, 2, 3))
        squares += (values**2).sum(dim=(0, 2, 3))
    count = images.numel() // images.shape[1]
    mean = total.double() / count / 255
    spread = (squares.double() / count / 255**2 - mean**2).clamp(min=0).sqrt()
    return tuple(mean.tolist()), tuple(spread.clamp(min=1e-6).tolist())
