"""CIFAR-10: 50,000 + 10,000 images of 32x32 in 10 classes."""

from pathlib import Path
from typing import Any

from headbench.data.formats.parquet_files import read_pair
from headbench.data.formats.shards import part_files
from headbench.data.formats.torchvision_sets import fetch, image_set
from headbench.data.registry import Dataset, register


@register(
    "cifar10",
    version=1,
    source="Krizhevsky, 2009; torchvision's download and MD5 check, or parquet files in the Hugging Face layout",
    places="cifar10/train*.parquet cifar10/data/train*.parquet cifar-10-batches-py cifar-10-python.tar.gz "
    "cifar10/cifar-10-batches-py cifar10/cifar-10-python.tar.gz",
    download="170 MB",
)
def cifar10(root: Path) -> Dataset:
    """Load CIFAR-10 from ``root/cifar10/{train,test}*.parquet``, or as published, or download it.

    Published is ``cifar-10-batches-py`` or ``cifar-10-python.tar.gz``, in ``root`` or ``root/cifar10``.
    """
    from torchvision.datasets import CIFAR10

    facts: Any = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616), "ranges": (3, 7)}
    folder = root / "cifar10"
    if part_files(folder, "train"):
        first, second, names = read_pair(folder, "test", side=32)
        return Dataset(first, second, names, read_from=(folder,), **facts)
    (train, test), source = fetch(
        CIFAR10, root, lambda load: [load(train=train) for train in (True, False)], folders=("", "cifar10")
    )
    return Dataset(image_set(train), image_set(test), tuple(train.classes), read_from=source, **facts)
