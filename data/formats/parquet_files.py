"""Images and labels from parquet files in the Hugging Face layout: an encoded image and a label per row, class names in
the schema's metadata.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from headbench.core.errors import UserError, reason
from headbench.data.formats.image_files import decode, stack
from headbench.data.formats.shards import part_files
from headbench.data.formats.walking import printable
from headbench.data.registry import ImageSet

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")


def check_names(names: tuple[str, ...], others: tuple[str, ...], file: Path) -> None:
    """Raise UserError if a file's class names are not those of the files before it."""
    if others != names:
        differing = next(
            (pair for pair in zip(names, others, strict=False) if pair[0] != pair[1]), (len(names), len(others))
        )
        raise UserError(
            f"{printable(file)}: its class names are not those of the files before it ({differing[1]} instead of "
            f"{differing[0]})"
        )


def read_pair(
    folder: Path, test: str, *, side: int, label_columns: tuple[str, ...] = LABEL_COLUMNS
) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
    """Read a training and a test part from one folder.

    Args:
        folder: of the files.
        test: how the names of the test part's files begin, as for :func:`headbench.data.formats.shards.part_files`.
        side: that every image must have.
        label_columns: names that the label column may have.

    Returns:
        Training part, test part, class names.

    Raises:
        UserError: naming the file that is missing or wrong.
    """
    files = [part_files(folder, part) for part in ("train", test)]
    for part, found in zip(("train", test), files, strict=True):
        if not found:
            raise UserError(f"no {part}*.parquet in {folder}")
    (first, class_names), (second, others) = (
        read_images(found, side=side, label_columns=label_columns) for found in files
    )
    check_names(class_names, others, files[1][0])
    return first, second, class_names


def read_images(
    files: list[Path],
    *,
    size: int | None = None,
    side: int | None = None,
    label_columns: tuple[str, ...] = LABEL_COLUMNS,
    exif: bool = False,
) -> tuple[ImageSet, tuple[str, ...]]:
    """Read one part of a data set.

    Args:
        files: its files, in order.
        size: side to which every image is brought, or None to leave them.
        side: that every image must have; None for the size of the first.
        label_columns: names that the label column may have.
        exif: bring images upright as their EXIF orientation says.

    Returns:
        The images with their labels, in file order, and the class names.

    Raises:
        UserError: naming the file (and row) that is unreadable or wrong.
    """
    names: tuple[str, ...] = ()
    labels: list[np.ndarray] = []
    tables = []
    for file in files:
        place = printable(file)
        try:
            table = pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{place}: not a readable parquet file ({reason(error, 120)})") from None
        label_column = _column(table, label_columns, place)
        own = _class_names(table.schema, label_column, place)
        check_names(names or own, own, file)
        names = own
        labels.append(_labels(table[label_column], names, place))
        tables.append((place, table[_column(table, IMAGE_COLUMNS, place)]))
    total = sum(map(len, labels))
    if not total:
        raise UserError(f"{printable(files[0])}: no rows")

    def images() -> Iterator[tuple[np.ndarray, str]]:
        for file, column in tables:
            for row, cell in enumerate(column):
                place = f"{file}, row {row}"
                yield decode(_encoded(cell.as_py(), place), size, place, exif), place

    return ImageSet(stack(images(), total, size or side), torch.from_numpy(np.concatenate(labels))), names


def _labels(column: pa.ChunkedArray, names: tuple[str, ...], place: str) -> np.ndarray:
    """Return labels (N,) int64: from whole numbers, truth values, or class names."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        raise UserError(f"{place}, row {column.is_null().index(True)}: no label")
    kind = column.type
    if not len(column):
        return np.zeros(0, dtype=np.int64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found = pc.index_in(column, value_set=pa.array(names, type=kind))
        if found.null_count:
            row = found.is_null().index(True).as_py()
            raise UserError(f"{place}, row {row}: '{str(column[row])[:80]}' is none of the {len(names)} class names")
        return np.asarray(found.to_numpy(), dtype=np.int64)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise UserError(f"{place}: labels of type {str(kind)[:80]}, not whole numbers or class names")
    values = column.to_numpy()
    if pa.types.is_floating(kind) and not (np.isfinite(values) & (values == np.rint(values))).all():
        row = int(np.flatnonzero(~np.isfinite(values) | (values != np.rint(values)))[0])
        raise UserError(f"{place}, row {row}: the label {values[row]} is not a whole number")
    if not 0 <= values.min() <= values.max() < len(names):
        raise UserError(
            f"{place}: labels run from {values.min()} to {values.max()}, but there are {len(names)} class names"
        )
    return np.asarray(values, dtype=np.int64)


def _encoded(cell: Any, place: str) -> bytes:
    """Return the encoded image of a cell: a struct of ``bytes`` and ``path``, or the bytes themselves."""
    if isinstance(cell, dict):
        if cell.get("bytes") is None and cell.get("path"):
            raise UserError(
                f"{place}: the image's bytes are not embedded, only its path '{str(cell['path'])[:80]}'; write the "
                f"file again with embedded images"
            )
        cell = cell.get("bytes")
    if cell is None:
        raise UserError(f"{place}: no image")
    if not isinstance(cell, bytes):
        raise UserError(f"{place}: not an encoded image, but {type(cell).__name__}")
    return cell


def _column(table: pa.Table, candidates: tuple[str, ...], place: str) -> str:
    for name in candidates:
        if name in table.column_names:
            return name
    raise UserError(f"{place}: no column {' or '.join(candidates)}; it has {', '.join(table.column_names)[:200]}")


def named_classes(schema: pa.Schema, label_column: str) -> tuple[str, ...] | None:
    """Return the classes that a schema's metadata name for a column of labels, None where they name none."""
    try:
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"][label_column]["names"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return tuple(names)


def _class_names(schema: pa.Schema, label_column: str, place: str) -> tuple[str, ...]:
    names = named_classes(schema, label_column)
    if names is None:
        raise UserError(
            f"{place}: the schema's metadata name no classes for column '{label_column}'; {{name: hub, path: ...}} "
            f"takes the values themselves, or write the file with a ClassLabel of the library datasets"
        )
    return names
