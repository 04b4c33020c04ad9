"""SVHN: 73,257 + 531,131 (extra) + 26,032 images of house-number digits, 32x32, in 10 classes.

And the replica of the faulty SVHN-LT.
"""

from pathlib import Path

import numpy as np
import torch

from headbench.data.formats.image_files import statistics
from headbench.data.formats.torchvision_sets import fetch
from headbench.data.longtail import Draw, draw, misaligned_draw
from headbench.data.registry import Dataset, ImageSet, register

SPLITS = ("train", "extra", "test")


def _read(root: Path, draw: Draw) -> Dataset:
    from torchvision.datasets import SVHN

    parts, source = fetch(SVHN, root, lambda load: [load(split=split) for split in SPLITS], folders=("svhn", ""))
    train, extra, test = (
        ImageSet(torch.from_numpy(part.data), torch.from_numpy(part.labels.astype(np.int64))) for part in parts
    )
    images, labels = torch.cat([train.images, extra.images]), torch.cat([train.labels, extra.labels])
    mean, std = statistics(images)
    return Dataset(
        train=ImageSet(images, labels),
        test=test,
        class_names=tuple("0123456789"),
        mean=mean,
        std=std,
        read_from=tuple(source[0] / SVHN.split_list[split][1] for split in SPLITS),
        sources=(len(train), len(extra)),
        ranges=(3, 7),
        draw=draw,
    )


@register(
    "svhn",
    version=1,
    source="Netzer et al., 2011; torchvision's download and MD5 check; train and extra together, as the long-tailed "
    "papers use it",
    places="svhn/train_32x32.mat train_32x32.mat",
    download="1.6 GB",
)
def svhn(root: Path) -> Dataset:
    """Load SVHN from ``root/svhn/{train,extra,test}_32x32.mat``, or these in ``root``, or download it.

    A tail never asks for more images than a digit has.
    """
    return _read(root, draw)


@register(
    "svhn-lt-refbug",
    version=1,
    source="SVHN with the label error of the released long-tailed loaders of Yang et al., NeurIPS 2022, and Saadabadi "
    "et al., CVPR 2024",
    deviations="about a third of the training labels are wrong, as in the published SVHN-LT numbers; only to "
    "replicate those",
    places="svhn/train_32x32.mat train_32x32.mat",
    download="1.6 GB",
)
def svhn_lt_refbug(root: Path) -> Dataset:
    """Load SVHN for the corrupted published protocol; only with an imbalance factor above 1."""
    return _read(root, misaligned_draw)
