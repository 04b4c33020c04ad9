"""Data sets that torchvision reads and checks: unpacked, in the form in which they are published or packaged, or
downloaded.
"""

import gzip
import hashlib
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from headbench.core.errors import UserError, reason
from headbench.data.registry import ImageSet

T = TypeVar("T")
Load = Callable[..., Any]

# Gigabytes of STL-10 that no data set here uses.
UNUSED = "unlabeled_X.bin"


class _NotWholeError(Exception):
    """What torchvision looks for is not there, or not whole: which part, and why."""


def fetch(
    dataset: Any,
    root: Path,
    read: Callable[[Load], T],
    *,
    folders: Sequence[str] = ("",),
    packaged: Sequence[Path] = (),
    unpacked_md5: dict[str, str] | None = None,
) -> tuple[T, tuple[Path, ...]]:
    """Read one of torchvision's data sets where it lies, from its archives (unpacked in a temporary folder), or after a
    download.

    Args:
        dataset: torchvision's class.
        root: the data folder.
        read: reads what is wanted, given a function that makes ``dataset`` with further arguments.
        folders: below ``root``, where torchvision or the archives may be; a download goes to the first one.
        packaged: folders elsewhere that may hold the archives, as the operating system's packages do.
        unpacked_md5: of the archives' contents by name, for archives that were packed again.

    Returns:
        What ``read`` returned, and the files or folders behind it.

    Raises:
        UserError: if the data set is neither there nor to be downloaded, or damaged.
    """
    places = [root / folder for folder in folders]
    base = Path(dataset.__name__, "raw") if hasattr(dataset, "resources") else Path(getattr(dataset, "base_folder", ""))
    refused: list[str] = []
    for place in places:
        try:
            return read(_loader(dataset, place)), (place / base,)
        except _NotWholeError:
            continue
    for folder in dict.fromkeys([*(place / below for place in places for below in (base, base.parent, "")), *packaged]):
        archives = _archives(dataset, folder, unpacked_md5 or {}, refused)
        if archives:
            try:
                with tempfile.TemporaryDirectory() as scratch:
                    _unpack(archives, Path(scratch), base)
                    return read(_loader(dataset, Path(scratch))), tuple(archives)
            except _NotWholeError as error:
                refused.append(f"{archives[0]}: {error.args[1]}")
    try:
        places[0].mkdir(exist_ok=True)
        return read(_loader(dataset, places[0], download=True)), (places[0] / base,)
    except (_NotWholeError, OSError) as error:
        which, why = error.args if isinstance(error, _NotWholeError) else ("", reason(error))
        where = " or ".join(map(str, [places[0] / base, *packaged]))
        told = "".join(f"; {line}" for line in refused)
        missing = f"{dataset.__name__}{which} is not (whole) in {where} and could not be downloaded ({why}){told}"
        raise UserError(f"{missing}; name the folder that holds it with --data") from None


def _loader(dataset: Any, place: Path, download: bool = False) -> Load:
    """Return a function that makes ``dataset`` with further arguments from ``place``, and raises _NotWholeError where
    torchvision raises what it likes.
    """

    def load(**arguments: Any) -> Any:
        try:
            return dataset(place, download=download, **arguments)
        # Some of its readers check a file by assert.
        except (OSError, RuntimeError, EOFError, ValueError, AssertionError, LookupError) as error:
            raise _NotWholeError(
                "".join(f" ({key} {value})" for key, value in arguments.items() if key == "split"), reason(error)
            ) from None

    return load


def _archives(dataset: Any, folder: Path, unpacked_md5: dict[str, str], refused: list[str]) -> list[Path]:
    """Return the published archives of a data set in ``folder`` if all are there with their MD5.

    A line on a damaged one goes to ``refused``.
    """
    published = getattr(dataset, "resources", None) or (
        [(dataset.filename, dataset.tgz_md5)] if hasattr(dataset, "tgz_md5") else []
    )
    archives = [folder / name for name, _ in published]
    if not archives or not all(archive.is_file() for archive in archives):
        return []
    for archive, (_, expected) in zip(archives, published, strict=True):
        if md5(archive) != expected and (
            archive.stem not in unpacked_md5 or _unpacked_md5(archive) != unpacked_md5[archive.stem]
        ):
            refused.append(f"{archive} is not the published file: its MD5 is not {expected}")
            return []
    return archives


def _unpack(archives: list[Path], scratch: Path, base: Path) -> None:
    """Unpack archives as torchvision would: a tar file with its folder, gzip files into the folder ``base``."""
    for archive in archives:
        if archive.name.endswith(".tar.gz"):
            with tarfile.open(archive) as tar:
                tar.extractall(
                    scratch, [member for member in tar.getmembers() if Path(member.name).name != UNUSED], filter="data"
                )
        else:
            (scratch / base).mkdir(parents=True, exist_ok=True)
            with gzip.open(archive) as packed, (scratch / base / archive.stem).open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)


def md5(path: Path) -> str:
    """Return a file's MD5, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _unpacked_md5(archive: Path) -> str:
    try:
        with gzip.open(archive) as packed:
            return hashlib.md5(packed.read(), usedforsecurity=False).hexdigest()
    except (OSError, EOFError, zlib.error):
        return ""


def image_set(dataset: Any) -> ImageSet:
    """Return torchvision's ``data`` (N, H, W, channels) and ``targets`` as an :class:`ImageSet`."""
    images = torch.from_numpy(np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2)))
    return ImageSet(images, torch.tensor(dataset.targets, dtype=torch.int64))
