"""Images and labels from parquet files in the Hugging Face layout."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, UnidentifiedImageError

from core.errors import UserError
from data.registry import ImageSet

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")


def read_images(folder: Path, part: str, shape: tuple[int, int, int]) -> tuple[ImageSet, tuple[str, ...]]:
    """Read ``folder/<part>*.parquet``: an encoded image and a label per row, class names in the schema's metadata.

    Args:
        folder: where the files are.
        part: ``train`` or ``test``.
        shape: (channels, height, width) that every image must have.

    Returns:
        The images with their labels, in file order, and the class names.

    Raises:
        UserError: naming the file (and row) that is missing, unreadable or wrong.
    """
    files = sorted(folder.glob(f"{part}*.parquet"))
    if not files:
        raise UserError(f"no {part}*.parquet in {folder}")
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    names: tuple[str, ...] = ()
    for file in files:
        try:
            table = pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{file}: not a readable parquet file ({' '.join(str(error).split())[:120]})") from None
        image_column, label_column = _column(table, IMAGE_COLUMNS, file), _column(table, LABEL_COLUMNS, file)
        names = _class_names(table.schema, label_column, file)
        images += [_decode(cell["bytes"], shape, f"{file}, row {row}") for row, cell in enumerate(table[image_column].to_pylist())]
        labels.append(table[label_column].to_numpy())
        if len(labels[-1]) and not 0 <= labels[-1].min() <= labels[-1].max() < len(names):
            raise UserError(f"{file}: labels run from {labels[-1].min()} to {labels[-1].max()}, but there are {len(names)} class names")
    if not images:
        raise UserError(f"{part}*.parquet in {folder} have no rows")
    return ImageSet(torch.from_numpy(np.stack(images)), torch.from_numpy(np.concatenate(labels).astype(np.int64))), names


def _column(table: pa.Table, candidates: tuple[str, ...], file: Path) -> str:
    for name in candidates:
        if name in table.column_names:
            return name
    raise UserError(f"{file}: no column {' or '.join(candidates)}; it has {', '.join(table.column_names)}")


def _class_names(schema: pa.Schema, label_column: str, file: Path) -> tuple[str, ...]:
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return tuple(features[label_column]["names"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{file}: the schema's metadata name no classes for column '{label_column}'") from None


def _decode(encoded: bytes, shape: tuple[int, int, int], place: str) -> np.ndarray:
    """Return one image (3, H, W) uint8."""
    try:
        pixels = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")).transpose(2, 0, 1)
    except (UnidentifiedImageError, OSError, TypeError):
        raise UserError(f"{place}: not an image") from None
    if pixels.shape != shape:
        raise UserError(f"{place}: the image is {pixels.shape}, not {shape}")
    return pixels
