"""CIFAR-100: 50,000 + 10,000 images of 32x32 in 100 fine classes, or in their 20 coarse ones."""

import pickle
from pathlib import Path
from typing import Any, Literal

import torch

from core.errors import UserError
from data.parquet_files import check_names, part_files, read_images
from data.registry import Dataset, ImageSet, register
from data.torchvision_sets import fetch, image_set

STATISTICS: Any = {"mean": (0.5071, 0.4865, 0.4409), "std": (0.2673, 0.2564, 0.2762)}


@register("cifar100", version=1, source="Krizhevsky, 2009; torchvision's download and MD5 check, or parquet files in the Hugging Face layout")
def cifar100(root: Path, *, labels: Literal["fine", "coarse"] = "fine") -> Dataset:
    """Load CIFAR-100 from ``root/cifar100/{train,test}*.parquet`` if they are there, else from ``root/cifar-100-python``, or download it there.

    Args:
        root: the data folder.
        labels: the 100 ``fine`` classes or the 20 ``coarse`` ones.
    """
    facts = STATISTICS | {"ranges": (36, 71) if labels == "fine" else None}
    folder = root / "cifar100"
    if folder.is_dir():
        files = [part_files(folder, part) for part in ("train", "test")]
        for part, found in zip(("train", "test"), files, strict=True):
            if not found:
                raise UserError(f"no {part}*.parquet in {folder}")
        (train, names), (test, test_names) = (read_images(found, side=32, label_columns=(f"{labels}_label",)) for found in files)
        check_names(names, test_names, files[1][0])
        return Dataset(train, test, names, read_from=(folder,), **facts)
    fetched, held_out = (fetch("CIFAR100", root, train=train) for train in (True, False))
    source = root / fetched.base_folder
    names = tuple(fetched.classes) if labels == "fine" else tuple(_unpickle(source / "meta")["coarse_label_names"])
    parts = [image_set(part) if labels == "fine" else _coarse(image_set(part), source / name) for part, name in ((fetched, "train"), (held_out, "test"))]
    return Dataset(parts[0], parts[1], names, read_from=(source,), **facts)


def _coarse(part: ImageSet, file: Path) -> ImageSet:
    return ImageSet(part.images, torch.tensor(_unpickle(file)["coarse_labels"]))


def _unpickle(file: Path) -> dict[str, Any]:
    """Read a file whose MD5 torchvision has just checked."""
    with file.open("rb") as opened:
        contents: dict[str, Any] = pickle.load(opened, encoding="latin1")
    return contents
