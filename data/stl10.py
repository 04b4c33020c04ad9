"""STL-10: the labelled 5,000 + 8,000 images of 96x96 in 10 classes."""

from pathlib import Path

import numpy as np
import torch

from headbench.data.formats.image_files import statistics
from headbench.data.formats.torchvision_sets import fetch
from headbench.data.registry import Dataset, ImageSet, register

NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


@register(
    "stl10",
    version=1,
    source="Coates et al., 2011; torchvision's download and MD5 check; no unlabelled images",
    places="stl10_binary stl10_binary.tar.gz stl10/stl10_binary stl10/stl10_binary.tar.gz",
    download="2.6 GB",
)
def stl10(root: Path) -> Dataset:
    """Load STL-10 from ``root/stl10_binary`` or ``root/stl10_binary.tar.gz``, both also in ``root/stl10``, or download
    it.
    """
    from torchvision.datasets import STL10

    # Without the unlabelled images, so that their 2.6 GB need be neither there nor read.
    labelled = type("STL10", (STL10,), {"train_list": STL10.train_list[:2]})
    parts, source = fetch(
        labelled, root, lambda load: [load(split=split) for split in ("train", "test")], folders=("", "stl10")
    )
    train, test = (
        ImageSet(torch.from_numpy(np.ascontiguousarray(part.data)), torch.from_numpy(part.labels.astype(np.int64)))
        for part in parts
    )
    mean, std = statistics(train.images)
    return Dataset(train, test, NAMES, mean, std, read_from=source, ranges=(3, 7))
