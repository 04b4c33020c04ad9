"""CIFAR-100: 50,000 + 10,000 images of 32x32 in 100 classes."""

from pathlib import Path

import torchvision

from data.parquet import read_images
from data.registry import Dataset, register
from data.torchvision_sets import fetch, image_set

MEAN, STD = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)


@register("cifar100", version=1, source="Krizhevsky, 2009; torchvision's download and MD5 check, or parquet files in the Hugging Face layout")
def cifar100(root: Path) -> Dataset:
    """Load CIFAR-100 from ``root/cifar100/{train,test}*.parquet`` if they are there, else from ``root/cifar-100-python``, or download it there."""
    folder = root / "cifar100"
    if folder.is_dir():
        (train, names), (test, _) = (read_images(folder, part, (3, 32, 32)) for part in ("train", "test"))
        return Dataset(train, test, names, MEAN, STD)
    fetched, held_out = (fetch(torchvision.datasets.CIFAR100, root, train=train) for train in (True, False))
    return Dataset(image_set(fetched), image_set(held_out), tuple(fetched.classes), MEAN, STD)
