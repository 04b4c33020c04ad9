"""CIFAR-100: 50,000 + 10,000 images of 32x32 in 100 fine classes, or in their 20 coarse ones."""

import pickle
from pathlib import Path
from typing import Any, Literal

import torch

from headbench.core.errors import UserError
from headbench.data.formats.parquet_files import read_pair
from headbench.data.formats.shards import part_files
from headbench.data.formats.torchvision_sets import Load, fetch, image_set
from headbench.data.registry import Dataset, ImageSet, register

STATISTICS: Any = {"mean": (0.5071, 0.4865, 0.4409), "std": (0.2673, 0.2564, 0.2762)}


@register(
    "cifar100",
    version=1,
    source="Krizhevsky, 2009; torchvision's download and MD5 check, or parquet files in the Hugging Face layout",
    places="cifar100/train*.parquet cifar100/data/train*.parquet cifar-100-python cifar-100-python.tar.gz "
    "cifar100/cifar-100-python cifar100/cifar-100-python.tar.gz",
    download="169 MB",
)
def cifar100(root: Path, *, labels: Literal["fine", "coarse"] = "fine") -> Dataset:
    """Load CIFAR-100 from ``root/cifar100/{train,test}*.parquet``, or as published, or download it.

    Published is ``cifar-100-python`` or ``cifar-100-python.tar.gz``, in ``root`` or ``root/cifar100``.

    Args:
        root: the data folder.
        labels: the 100 ``fine`` classes or the 20 ``coarse`` ones.
    """
    from torchvision.datasets import CIFAR100

    facts = STATISTICS | {"ranges": (36, 71) if labels == "fine" else None}
    folder = root / "cifar100"
    if part_files(folder, "train"):
        train, test, names = read_pair(folder, "test", side=32, label_columns=(f"{labels}_label",))
        return Dataset(train, test, names, read_from=(folder,), **facts)
    try:
        (train, test, names), source = fetch(CIFAR100, root, lambda load: _read(load, labels), folders=("", "cifar100"))
    except UserError as error:
        raise UserError(f"{error}; no train*.parquet in {folder}" if folder.is_dir() else str(error)) from None
    return Dataset(train, test, names, read_from=source, **facts)


def _read(load: Load, labels: str) -> tuple[ImageSet, ImageSet, tuple[str, ...]]:
    train, test = load(train=True), load(train=False)
    if labels == "fine":
        return image_set(train), image_set(test), tuple(train.classes)
    folder = Path(train.root) / train.base_folder
    coarse = [torch.tensor(_unpickle(folder / name)["coarse_labels"]) for name in ("train", "test")]
    names = tuple(_unpickle(folder / "meta")["coarse_label_names"])
    return ImageSet(image_set(train).images, coarse[0]), ImageSet(image_set(test).images, coarse[1]), names


def _unpickle(file: Path) -> dict[str, Any]:
    """Read a file whose MD5 torchvision has just checked."""
    with file.open("rb") as opened:
        contents: dict[str, Any] = pickle.load(opened, encoding="latin1")
    return contents
