"""CIFAR-10: 50,000 + 10,000 images of 32x32 in 10 classes."""

from pathlib import Path

from data.registry import Dataset, register
from data.torchvision_sets import fetch, image_set


@register("cifar10", version=1, source="Krizhevsky, 2009; torchvision's download and MD5 check")
def cifar10(root: Path) -> Dataset:
    """Load CIFAR-10 from ``root/cifar-10-batches-py`` or ``root/cifar-10-python.tar.gz``, both also in ``root/cifar10``, or download it."""
    from torchvision.datasets import CIFAR10

    (train, test), source = fetch(CIFAR10, root, lambda load: [load(train=train) for train in (True, False)], folders=("", "cifar10"))
    return Dataset(
        train=image_set(train),
        test=image_set(test),
        class_names=tuple(train.classes),
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        read_from=source,
        ranges=(3, 7),
    )
