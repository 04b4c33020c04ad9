"""Images from files and folders: decoding to one size, class folders, list files."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from headbench.core.errors import UserError
from headbench.data.formats.decoding import open_rgb
from headbench.data.formats.walking import files_below, points_nowhere, printable, read_lines
from headbench.data.registry import FileSet, ImageSet

# As torchvision's IMG_EXTENSIONS.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def decode(encoded: bytes | Path, size: int | None, place: str, exif: bool = False) -> np.ndarray:
    """Return one image (3, H, W) uint8, in RGB.

    With ``size``, the shorter side is scaled to it (bilinear) and the middle square kept.

    Raises:
        UserError: naming the place, if it is not an image, or of a mode that cannot be brought to 8 bits.
    """
    image = open_rgb(encoded, place, exif)
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
        UserError: naming the first image of another size, or the size that there is no memory for.
    """
    stacked = _room(count, (3, side or 0, side or 0))
    for number, (image, place) in enumerate(images):
        if number == 0 and side is None:
            stacked = _room(count, image.shape)
        (_, height, width), (_, _, wanted_height, wanted_width) = image.shape, stacked.shape
        if (height, width) != (wanted_height, wanted_width):
            hint = " as those before it; the option size: PIXELS brings all images to one size" if side is None else ""
            raise UserError(f"{place}: the image is {width}x{height}, not {wanted_width}x{wanted_height}{hint}")
        stacked[number] = image
    return torch.from_numpy(stacked)


def _room(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array for images (3, H, W)."""
    try:
        return np.empty((count, *shape), dtype=np.uint8)
    except (MemoryError, ValueError):  # the second for more than there are addresses
        _, height, width = shape
        raise UserError(
            f"size: there is no memory for {count:,} images of {height}x{width} pixels, "
            f"{count * 3 * height * width / 2**30:,.0f} GiB"
        ) from None


def class_folders(folder: Path) -> list[str]:
    """Return the names of a folder's class folders, sorted; hidden ones are not classes.

    Raises:
        UserError: if the folder is missing, has no class folder, or has links that point nowhere or images beside them.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    dangling = [entry for entry in entries if points_nowhere(entry)]
    if dangling:
        raise UserError(
            f"{folder}: {len(dangling)} of its {len(entries)} entries are links that point nowhere, first "
            f"{printable(dangling[0].name)}"
        )
    names = [entry.name for entry in entries if entry.is_dir()]
    if not names:
        raise UserError(f"{folder} has no class folders")
    loose = [entry.name for entry in entries if entry.suffix.lower() in EXTENSIONS and entry.is_file()]
    if loose:
        raise UserError(
            f"{folder}: {len(loose)} images in no class folder, first {printable(loose[0])}; move them into one, or "
            f"away"
        )
    return names


def labelled_files(folder: Path, classes: list[str]) -> tuple[list[str], list[int]]:
    """Return the images (relative to ``folder``) below each class folder and their labels, sorted.

    Hidden files are not images.

    Raises:
        UserError: for a class without images, a class folder that is not among ``classes``, a file that is no image by
            its name, or links that point nowhere.
    """
    for name in class_folders(folder):
        if name not in classes:
            raise UserError(f"{printable(folder / name)}: a class that the training folder does not have")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = files_below(folder / name) if (folder / name).is_dir() else []
        for path in found:
            if path.suffix.lower() not in EXTENSIONS:
                raise UserError(f"{printable(path)}: not an image by its name; known: {', '.join(EXTENSIONS)}")
        if not found:
            raise UserError(f"{printable(folder / name)}: a class without images")
        paths += [path.relative_to(folder).as_posix() for path in found]
        labels += [label] * len(found)
    return paths, labels


def image_set(
    folder: Path,
    paths: list[str],
    labels: list[int],
    *,
    size: int | None = None,
    side: int | None = None,
    exif: bool = False,
) -> ImageSet:
    """Decode files into one tensor: brought to ``size``, or checked to have ``side``, or all of one size.

    With ``exif``, upright.
    """
    places = [printable(folder / path) for path in paths]
    decoded = ((decode(folder / path, size, place, exif), place) for path, place in zip(paths, places, strict=True))
    return ImageSet(stack(decoded, len(paths), size or side), torch.tensor(labels, dtype=torch.int64))


def file_set(folder: Path, paths: list[str], labels: list[int], size: int, *, exif: bool = False) -> FileSet:
    """Return files to be read batch by batch.

    Raises:
        UserError: naming the first one that is not there.
    """
    for path in paths:
        if not (folder / path).is_file():
            raise UserError(f"there is no image {printable(folder / path)}")
    return FileSet(folder, tuple(paths), torch.tensor(labels, dtype=torch.int64), size, exif)


def listed_files(file: Path, num_classes: int) -> tuple[list[str], list[int]]:
    """Read a list file: a path and a label per line.

    Raises:
        UserError: naming the file, and the line that is wrong.
    """
    paths, labels = [], []
    for number, line in enumerate(read_lines(file), start=1):
        path, _, label = line.strip().rpartition(" ")
        if not path or not label.isdecimal():
            raise UserError(f"{file}, line {number}: not 'path label': {line[:80]!r}")
        if len(label) > 9 or int(label) >= num_classes:
            raise UserError(f"{file}, line {number}: label {label[:20]}, but there are {num_classes} classes")
        paths.append(path)
        labels.append(int(label))
    if not paths:
        raise UserError(f"{file}: empty")
    return paths, labels


def check_variation(images: torch.Tensor) -> None:
    """Raise UserError if a channel of images (N, channels, H, W) has one value everywhere.

    Usually the first images tell.
    """
    first = images[0, :, :1, :1]
    flat = torch.ones(images.shape[1], dtype=torch.bool)
    for chunk in torch.split(images, 1000):
        flat &= (chunk == first).all(dim=3).all(dim=2).all(dim=0)
        if not flat.any():
            return
    channel = int(flat.nonzero()[0])
    raise UserError(
        f"channel {channel} of the training images is {int(first[channel])} of 255 in every pixel; nothing can be "
        f"learned from it"
    )


def statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of images (N, channels, H, W) uint8, of pixels in [0, 1], from
    exact integer sums.

    Raises:
        UserError: if a channel has one value everywhere.
    """
    check_variation(images)
    total, squares = torch.zeros(images.shape[1], dtype=torch.int64), torch.zeros(images.shape[1], dtype=torch.int64)
    for chunk in torch.split(images, 1000):
        values = chunk.to(torch.int64)
        total += values.sum(dim=(0, 2, 3))
        squares += (values**2).sum(dim=(0, 2, 3))
    count = images.numel() // images.shape[1]
    mean = total.double() / count / 255
    spread = (squares.double() / count / 255**2 - mean**2).clamp(min=0).sqrt()
    return tuple(mean.tolist()), tuple(spread.clamp(min=1e-6).tolist())
