"""Fashion-MNIST: 60,000 + 10,000 grey images of 28x28 in 10 classes."""

from pathlib import Path

from data.image_files import statistics
from data.registry import Dataset, ImageSet, register
from data.torchvision_sets import fetch


@register("fashion-mnist", version=1, source="Xiao et al., 2017; torchvision's download and MD5 check")
def fashion_mnist(root: Path) -> Dataset:
    """Load Fashion-MNIST from ``root/FashionMNIST/raw``, or download it there."""
    train, test = (fetch("FashionMNIST", root, train=train) for train in (True, False))
    mean, std = statistics(train.data[:, None])
    return Dataset(
        train=ImageSet(train.data[:, None], train.targets),
        test=ImageSet(test.data[:, None], test.targets),
        class_names=tuple(train.classes),
        mean=mean,
        std=std,
        read_from=(Path(train.raw_folder),),
    )
