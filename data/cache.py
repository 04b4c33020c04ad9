"""The cache of decoded images: ``DATA/.headbench/<name>/``, memory-mapped, so that all processes share its pages.

A cache is a folder with one ``.npy`` file per array and ``meta.json``. It is written under another name and renamed
when it is whole, so a folder of the right name is a whole cache. ``meta.json`` holds a checksum of itself, sizes and a
stamp of what was read, and SHA-256 of the files. At every start all of these are checked but the SHA-256 of the images,
which are large: :func:`verify` does so. A cache that is damaged, or of another format, counts as absent.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, FiniteFloat, NonNegativeInt, PositiveInt, model_validator

from headbench.core.alone import alone
from headbench.core.arrays import BROKEN
from headbench.core.errors import UserError, note
from headbench.core.registry import Entry
from headbench.data.formats.walking import stamps_below
from headbench.data.longtail import DRAWS
from headbench.data.registry import Dataset, ImageSet, located

FORMAT = 3
FOLDER = ".headbench"


class _Array(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    bytes: NonNegativeInt
    sha256: str


class _Meta(BaseModel):
    """What ``meta.json`` says, beside its checksum."""

    model_config = ConfigDict(extra="forbid", strict=True)
    format: Literal[3]
    version: int
    fingerprint: str
    class_names: tuple[str, ...]
    mean: tuple[FiniteFloat, ...]
    std: tuple[FiniteFloat, ...]
    sources: tuple[PositiveInt, ...]
    draw: str
    ranges: tuple[int, int] | None
    counts: dict[Literal["train", "val", "test"], PositiveInt]
    arrays: dict[str, _Array]
    read_from: dict[str, str]

    @model_validator(mode="after")
    def _fits(self) -> "_Meta":
        expected = {f"{part}_{kind}.npy" for part in self.counts for kind in ("images", "labels")}
        if (
            self.draw not in DRAWS
            or set(self.arrays) != expected
            or not {"train", "test"} <= set(self.counts)
            or len(self.mean) != len(self.std)
        ):
            raise ValueError("parts, arrays and draw do not fit")
        return self


def load(entry: Entry[Any], options: dict[str, Any], root: Path) -> Dataset:
    """Return a data set from its cache.

    Where there is none, or what is behind it has changed, read it and write the cache.

    Data sets of image files, or without files of their own, are not cached. Where the cache cannot be written, a note
    says so and the images are used as read.

    Raises:
        UserError: if the data set is missing or damaged.
    """
    folder = folder_of(entry, options, root)
    with alone_with(folder):
        found = _open(folder, entry.version, root)
        if found is not None and not _replaced(found, entry, root):
            return found
        dataset: Dataset = entry.target(root, **options)
        cacheable = isinstance(dataset.train, ImageSet) and DRAWS.get(dataset.draw.__name__) is dataset.draw
        if not dataset.read_from or not cacheable:
            return dataset
        try:
            folder.parent.mkdir(exist_ok=True)
            _write(folder, dataset, entry.version, root)
        except OSError as error:
            note(
                f"cannot write the image cache {folder} ({error.strerror or error}); the images are decoded at every "
                f"start"
            )
            return dataset
        return _open(folder, entry.version, root) or dataset


def _replaced(dataset: Dataset, entry: Entry[Any], root: Path) -> bool:
    """Say whether what a cache was read from is gone, and the data set lies at another of its places."""
    return not any(source.exists() for source in dataset.read_from) and located(entry, root) is not None


def alone_with(folder: Path) -> AbstractContextManager[None]:
    """Keep other processes of this machine from downloading or caching the same data at the same time, where the
    machine lets us.
    """
    name = f"headbench-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]}.lock"
    return alone(Path(tempfile.gettempdir()) / name)


def folder_of(entry: Entry[Any], options: dict[str, Any], root: Path) -> Path:
    """Return the cache folder of a data set; options other than the defaults have one of their own."""
    differing = {key: value for key, value in options.items() if value != entry.defaults.get(key)}
    suffix = f"-{hashlib.sha256(json.dumps(differing, sort_keys=True).encode()).hexdigest()[:8]}" if differing else ""
    return root / FOLDER / f"{entry.name}{suffix}"


def verify(folder: Path) -> dict[str, Any]:
    """Read a whole cache again and return its ``meta.json``.

    Raises:
        UserError: naming the file whose contents are not those that were written.
    """
    meta = read_meta(folder)
    if meta is None:
        raise UserError(f"{folder / 'meta.json'}: not readable; remove {folder}, and the next run reads the data again")
    for name, facts in meta["arrays"].items():
        path = folder / name
        if not path.is_file() or sha256(path) != facts["sha256"]:
            raise UserError(f"{path}: not what was written; remove {folder}, and the next run reads the data again")
    return meta


def read_meta(folder: Path) -> dict[str, Any] | None:
    """Return what a cache says of itself, or None where it is absent, unreadable, damaged or of another format."""
    try:
        contents = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if contents.pop("checksum") != _checksum(contents):
            return None
        return _Meta.model_validate_json(json.dumps(contents)).model_dump()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _checksum(contents: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _open(folder: Path, version: int, root: Path) -> Dataset | None:
    """Return the cached data set, or None where the cache is absent, damaged, of another version, or of files that have
    changed since.
    """
    meta = read_meta(folder)
    if meta is None or meta["version"] != version:
        return None
    if any(
        not (folder / name).is_file() or (folder / name).stat().st_size != facts["bytes"]
        for name, facts in meta["arrays"].items()
    ):
        return None
    # A source that is gone altogether was put away after it was cached.
    if any((root / source).exists() and _stamp(root / source) != stamp for source, stamp in meta["read_from"].items()):
        return None
    try:
        parts = {name: _part(folder, name, meta) for name in meta["counts"]}
        if read_meta(folder) != meta:
            return _open(folder, version, root)
        dataset = Dataset(
            train=parts["train"],
            test=parts["test"],
            val=parts.get("val"),
            class_names=meta["class_names"],
            mean=meta["mean"],
            std=meta["std"],
            read_from=tuple(root / source for source in meta["read_from"]),
            sources=meta["sources"],
            draw=DRAWS[meta["draw"]],
            ranges=meta["ranges"],
        )
    except (*BROKEN, UserError):
        return None
    dataset.__dict__["fingerprint"] = meta["fingerprint"]
    return dataset


def _part(folder: Path, name: str, meta: dict[str, Any]) -> ImageSet:
    """Return one part: its images mapped, its labels read and compared with their SHA-256.

    Raises:
        ValueError: if an array is not what was written, or not of the shape that it must have.
    """
    labels_file = f"{name}_labels.npy"
    contents = (folder / labels_file).read_bytes()
    if hashlib.sha256(contents).hexdigest() != meta["arrays"][labels_file]["sha256"]:
        raise ValueError(labels_file)
    labels = np.load(io.BytesIO(contents))
    # Copy-on-write mapping: pages are shared by all processes, and torch may have a tensor that it could write to.
    images = np.load(folder / f"{name}_images.npy", mmap_mode="c")
    count, channels = meta["counts"][name], len(meta["mean"])
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[:2] != (count, channels)
        or labels.dtype != np.int64
        or labels.shape != (count,)
    ):
        raise ValueError(name)
    return ImageSet(torch.from_numpy(images), torch.from_numpy(labels))


def _write(folder: Path, dataset: Dataset, version: int, root: Path) -> None:
    """Write a cache under a temporary name and rename it; leftovers of writers that were killed go.

    The caller holds the lock.
    """
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        arrays = {}
        for name, part in dataset.parts().items():
            assert isinstance(part, ImageSet)  # only such data sets are cached
            for kind, tensor in (("images", part.images), ("labels", part.labels)):
                path = unfinished / f"{name}_{kind}.npy"
                with path.open("wb") as file:
                    np.save(file, np.ascontiguousarray(tensor.numpy()))
                    file.flush()
                    os.fsync(file.fileno())
                arrays[path.name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
        meta = {
            "format": FORMAT,
            "version": version,
            "fingerprint": dataset.fingerprint,
            "class_names": dataset.class_names,
            "mean": dataset.mean,
            "std": dataset.std,
            "sources": dataset.sources,
            "draw": dataset.draw.__name__,
            "ranges": dataset.ranges,
            "counts": {name: len(part) for name, part in dataset.parts().items()},
            "arrays": arrays,
            "read_from": {_place(source, root): _stamp(source) for source in dataset.read_from},
        }
        written = json.loads(json.dumps(meta))
        (unfinished / "meta.json").write_text(
            json.dumps(written | {"checksum": _checksum(written)}, indent=1), encoding="utf-8"
        )
        unfinished.chmod(0o755)
        if folder.exists():
            folder.rename(Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.")) / "old")
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    for leftover in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _place(source: Path, root: Path) -> str:
    """Return a source's path below the data folder, so that this may be moved, or its whole path."""
    return str(source.relative_to(root)) if source.is_relative_to(root) else str(source.absolute())


def _stamp(source: Path) -> str:
    """Return SHA-256 over name, size and modification time of a file, or of every file below a folder, 16 hexadecimal
    digits.
    """
    facts = source.stat()
    stamps = list(stamps_below(source)) if source.is_dir() else []
    own = f". {facts.st_size} {facts.st_mtime_ns}\n".encode()
    return hashlib.sha256(b"".join(stamps or [own])).hexdigest()[:16]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
