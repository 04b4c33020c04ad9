"""Numpy files from elsewhere: the header is read first, so that a file neither claims nor unfolds to more than is
allowed.
"""

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from headbench.core.errors import reason

# What an archive unfolds to: at most this many times its size, which scores and prototypes stay far below, or bytes
# that no machine minds.
RATIO, HARMLESS = 64, 2**28
# What numpy, zipfile and zlib raise for files that are not what their names say.
BROKEN = (
    *(OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, RecursionError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, SyntaxError, tokenize.TokenError),
)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
Source = Path | IO[bytes]
Shape = tuple[int, ...]


class BadArrayError(ValueError):
    """A file is no sound numpy file, or holds more than is allowed; the message is one line without the file's name."""


def read_npy(source: Source) -> np.ndarray:
    """Return the array of a ``.npy`` file, given by its path or as a binary stream.

    Raises:
        BadArrayError: if it is no such file, is cut off or too long, or holds objects.
    """
    try:
        if isinstance(source, Path):
            return read_npy(io.BytesIO(source.read_bytes()))
        size = source.seek(0, io.SEEK_END)
        source.seek(0)
        return _read(source, size)
    except BROKEN as error:
        raise _bad(error) from None


def read_npz(source: Source, names: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Return arrays of a ``.npz`` file by name, all of them where none is named.

    Args:
        source: path, or its content as a binary stream.
        names: of the arrays.

    Raises:
        BadArrayError: if it is no such file, an array is missing or unsound, or it unfolds to far more than its size.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            most = _most(archive, source)
            for name in names or _members(archive):
                with archive.open(f"{name}.npy") as stream:
                    found[name] = _read(stream, most)
    except BROKEN as error:
        raise _bad(error) from None
    return found


def headers(path: Path) -> dict[str, tuple[Shape, np.dtype]]:
    """Return shape and type that the headers of a ``.npz`` file claim, by name, or those of a ``.npy`` file under
    ``""``; the arrays are not read.

    Raises:
        BadArrayError: if it is no such file.
    """
    found = {}
    try:
        if path.suffix == ".npy":
            with path.open("rb") as stream:
                shape, _, kind = _header(stream)
                return {"": (shape, kind)}
        with zipfile.ZipFile(path) as archive:
            for name in _members(archive):
                with archive.open(f"{name}.npy") as stream:
                    shape, _, kind = _header(stream)
                    found[name] = shape, kind
    except BROKEN as error:
        raise _bad(error) from None
    return found


def check_archive(source: Source) -> None:
    """Raise BadArrayError if a zip archive, such as a ``.pt`` file, unfolds to far more than its size.

    Other files are not looked at.
    """
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                _most(archive, source)
    except BROKEN as error:
        raise _bad(error) from None


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist()]


def _most(archive: zipfile.ZipFile, source: Source) -> int:
    """Return how many bytes an archive unfolds to, which must be a sound number."""
    folded = source.stat().st_size if isinstance(source, Path) else source.seek(0, io.SEEK_END)
    unfolded = sum(member.file_size for member in archive.infolist())
    if unfolded > max(HARMLESS, RATIO * folded):
        raise ValueError(f"{folded:,} bytes that unfold to {unfolded:,}")
    return unfolded


def _header(stream: IO[bytes]) -> tuple[Shape, bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"unknown version {version} of the format")
    header: tuple[Shape, bool, np.dtype] = _HEADERS[version](stream)
    return header


def _read(stream: IO[bytes], most: int) -> np.ndarray:
    """Read an array that may have so many bytes, and nothing after it."""
    shape, by_columns, dtype = _header(stream)
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"an array of type {dtype} and shape {shape}")
    if size > most:
        raise ValueError(f"an array of shape {shape} claims {size:,} bytes, more than are there")
    content = bytearray(size)
    count, room = 0, memoryview(content)
    while count < size and (got := stream.readinto(room[count:])):  # type: ignore[attr-defined]
        count += got
    if count < size or stream.read(1):
        raise ValueError(
            f"an array of shape {shape} claims {size:,} bytes, and {'fewer' if count < size else 'more'} are there"
        )
    return np.ndarray(shape, dtype, content, order="F" if by_columns else "C")


def _bad(error: BaseException) -> BadArrayError:
    return BadArrayError(reason(error))
