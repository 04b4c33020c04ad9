"""Fashion-MNIST: 60,000 + 10,000 grey images of 28x28 in 10 classes."""

from pathlib import Path

from headbench.data.formats.image_files import statistics
from headbench.data.formats.torchvision_sets import fetch
from headbench.data.registry import Dataset, ImageSet, register

# Debian's package dataset-fashion-mnist.
PACKAGED = Path("/usr/share/datasets/fashion-mnist")
# Debian packs the published files again; these MD5s are of the contents of the published archives.
UNPACKED_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}


@register(
    "fashion-mnist",
    version=1,
    source="Xiao et al., 2017; torchvision's download and MD5 check, or Debian's package dataset-fashion-mnist",
    places="FashionMNIST/raw fashion-mnist/FashionMNIST/raw train-images-idx3-ubyte.gz "
    "fashion-mnist/train-images-idx3-ubyte.gz /usr/share/datasets/fashion-mnist",
    download="31 MB",
)
def fashion_mnist(root: Path) -> Dataset:
    """Load Fashion-MNIST from ``root/FashionMNIST/raw``, or its ``.gz`` files there, in ``root``,
    ``root/fashion-mnist`` or Debian's folder, or download it.
    """
    from torchvision.datasets import FashionMNIST

    (train, test), source = fetch(
        FashionMNIST,
        root,
        lambda load: [load(train=train) for train in (True, False)],
        folders=("", "fashion-mnist"),
        packaged=(PACKAGED,),
        unpacked_md5=UNPACKED_MD5,
    )
    mean, std = statistics(train.data[:, None])
    return Dataset(
        train=ImageSet(train.data[:, None], train.targets),
        test=ImageSet(test.data[:, None], test.targets),
        class_names=tuple(train.classes),
        mean=mean,
        std=std,
        read_from=source,
    )
