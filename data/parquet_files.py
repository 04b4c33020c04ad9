"""Images and labels from parquet files in the Hugging Face layout: an encoded image and a label per row, class names in the schema's metadata."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from core.errors import UserError
from data.image_files import decode, stack
from data.registry import ImageSet

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "fine_label")
SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)\.parquet")


def part_files(folder: Path, *parts: str) -> list[Path]:
    """Return the files ``folder/<part>*.parquet`` of the first part that has some, sorted; none if no part has any.

    Raises:
        UserError: naming a shard that is missing, of files whose names count them (``train-00000-of-00002.parquet``).
    """
    for part in parts:
        files = sorted(folder.glob(f"{part}*.parquet"))
        for file in files:
            counted = SHARD.fullmatch(file.name)
            shards = [] if counted is None else [f"{counted[1]}-{number:0{len(counted[2])}d}-of-{counted[3]}.parquet" for number in range(int(counted[3]))]
            missing = [name for name in shards if not (folder / name).is_file()]
            if missing:
                raise UserError(f"there is no file {folder / missing[0]}, one of {len(shards)} that belong together")
        if files:
            return files
    return []


def check_names(names: tuple[str, ...], others: tuple[str, ...], file: Path) -> None:
    """Raise UserError if a file's class names are not those of the files before it."""
    if others != names:
        differing = next((pair for pair in zip(names, others, strict=False) if pair[0] != pair[1]), (len(names), len(others)))
        raise UserError(f"{file}: its class names are not those of the files before it ({differing[1]} instead of {differing[0]})")


def read_images(
    files: list[Path], *, size: int | None = None, side: int | None = None, label_columns: tuple[str, ...] = LABEL_COLUMNS
) -> tuple[ImageSet, tuple[str, ...]]:
    """Read one part of a data set.

    Args:
        files: its files, in order.
        size: side to which every image is brought, or None to leave them.
        side: that every image must have; None for the size of the first.
        label_columns: names that the label column may have.

    Returns:
        The images with their labels, in file order, and the class names.

    Raises:
        UserError: naming the file (and row) that is unreadable or wrong.
    """
    names: tuple[str, ...] = ()
    labels: list[np.ndarray] = []
    tables = []
    for file in files:
        try:
            table = pq.read_table(file)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{file}: not a readable parquet file ({' '.join(str(error).split())[:120]})") from None
        label_column = _column(table, label_columns, file)
        own = _class_names(table.schema, label_column, file)
        check_names(names or own, own, file)
        names = own
        values = table[label_column].to_numpy()
        if len(values) and not 0 <= values.min() <= values.max() < len(names):
            raise UserError(f"{file}: labels run from {values.min()} to {values.max()}, but there are {len(names)} class names")
        labels.append(values)
        tables.append((file, table[_column(table, IMAGE_COLUMNS, file)]))
    count = sum(map(len, labels))
    if not count:
        raise UserError(f"{files[0]}: no rows")

    def images() -> Iterator[tuple[np.ndarray, str]]:
        for file, column in tables:
            for row, cell in enumerate(column):
                place = f"{file}, row {row}"
                value = cell.as_py()
                yield decode(value["bytes"] if isinstance(value, dict) else value, size, place), place

    return ImageSet(stack(images(), count, size or side), torch.from_numpy(np.concatenate(labels).astype(np.int64))), names


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
