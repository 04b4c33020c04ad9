"""The registry of data sets and what each of them gives."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from headbench.core.errors import UserError
from headbench.core.registry import Entry, Registry
from headbench.data.longtail import Draw, draw


def bundled(entry: Entry[Any]) -> bool:
    """Say whether a data set comes with the harness or a library that it needs: nothing is looked for or downloaded."""
    return "download" in entry.about and not entry.about.get("places")


def located(entry: Entry[Any], root: Path) -> Path | None:
    """Return the first of the places of a data set, below a data folder or absolute, where something is, or None."""
    places = map(Path, entry.about.get("places", "").split())
    return next((path for place in places for path in _matching(root, place)), None)


def _matching(root: Path, place: Path) -> Iterator[Path]:
    if place.is_absolute():
        return iter([place] if place.exists() else [])
    return root.glob(str(place))


@dataclass(frozen=True)
class ImageSet:
    """Labelled images that fit into memory: uint8 ``images`` (N, channels, H, W), int64 ``labels`` (N,), on the CPU."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        _, channels, height, width = self.images.shape
        return channels, height, width


@dataclass(frozen=True)
class FileSet:
    """Labelled image files that are read batch by batch.

    Attributes:
        root: folder of the files.
        paths: N, below it.
        labels: (N,) int64.
        size: H = W after cropping.
        exif: whether images are brought upright as their EXIF orientation says.
    """

    root: Path
    paths: tuple[str, ...]
    labels: Tensor
    size: int
    exif: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) after cropping."""
        return 3, self.size, self.size


Samples = ImageSet | FileSet


@dataclass(frozen=True)
class Dataset:
    """A data set as its file loads it.

    Attributes:
        train: training images.
        test: test images.
        class_names: C names, in label order.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
        val: the official validation images, where there are some.
        read_from: the files or folders that were read; as long as nothing in them has changed, a cache of them is good.
        sources: lengths of the parts that ``train`` is put together from; a long tail is drawn from each of them
            separately.
        draw: how a long tail is drawn from one source.
        ranges: first class of the medium and of the few group in the convention of index ranges, where the papers
            define one.
    """

    train: Samples
    test: Samples
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    val: Samples | None = None
    read_from: tuple[Path, ...] = ()
    sources: tuple[int, ...] = ()
    draw: Draw = draw
    ranges: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check the parts against each other.

        Raises:
            UserError: if a part has no images, not one label per image, a label that is no class, or images
                of another size than the training part's.
        """
        for name, part in self.parts().items():
            count = len(part.images) if isinstance(part, ImageSet) else len(part.paths)
            if count != len(part.labels):
                raise UserError(f"the {name} part has {count} images, but {len(part.labels)} labels")
            if not count:
                raise UserError(f"the {name} part has no images")
            if not 0 <= int(part.labels.min()) <= int(part.labels.max()) < len(self.class_names):
                raise UserError(
                    f"the {name} part has labels from {part.labels.min()} to {part.labels.max()}, but there are "
                    f"{len(self.class_names)} classes"
                )
            if (
                isinstance(part, ImageSet)
                and isinstance(self.train, ImageSet)
                and part.images.shape[1:] != self.train.images.shape[1:]
            ):
                sizes = ["x".join(map(str, images.shape[1:])) for images in (part.images, self.train.images)]
                raise UserError(f"the images of the {name} part are {sizes[0]}, those of the training part {sizes[1]}")

    def parts(self) -> dict[str, Samples]:
        """Return the parts by name, ``val`` only where there is one."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all parts, 16 hexadecimal digits: over images and labels.

        For files over names, sizes and labels, and whether EXIF turns them.
        """
        digest = hashlib.sha256()
        for part in self.parts().values():
            if isinstance(part, ImageSet):
                digest.update(repr(tuple(part.images.shape)).encode())
                digest.update(np.ascontiguousarray(part.images.numpy()).data)
            else:
                digest.update(
                    b"\n".join(
                        os.fsencode(path) + f" {(part.root / path).stat().st_size}".encode() for path in part.paths
                    )
                )
                digest.update(b"upright by EXIF" if part.exif else b"")
            digest.update(repr(tuple(part.labels.shape)).encode())
            digest.update(np.ascontiguousarray(part.labels.numpy()).data)
        return digest.hexdigest()[:16]


DATASETS: Registry[Callable[..., Dataset]] = Registry("data set")
register = DATASETS.register
