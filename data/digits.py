"""digits: 1,797 real handwritten digits of 8x8 grey levels, bundled with scikit-learn.

And three of the ten classes.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from headbench.data.registry import Dataset, ImageSet, Samples, register

TEST_SIZE = 360


@register(
    "digits",
    version=1,
    source="scikit-learn's load_digits, from UCI's optical recognition of handwritten digits; 8x8 grey, 10 classes, "
    "bundled",
    download="none: bundled",
)
def digits(root: Path) -> Dataset:
    """Load the digits; they need no folder.

    The test part is a fixed stratified 360 of the 1,797 images, since the source has no split.

    The 17 grey levels 0...16 become 0...255.
    """
    bunch = load_digits()
    images = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8))[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    train, test = train_test_split(np.arange(len(labels)), test_size=TEST_SIZE, stratify=bunch.target, random_state=0)
    train, test = np.sort(train), np.sort(test)
    return Dataset(
        train=ImageSet(images[train], labels[train]),
        test=ImageSet(images[test], labels[test]),
        class_names=tuple("0123456789"),
        mean=(0.3054,),
        std=(0.3760,),
    )


@register(
    "digits-3-5-8",
    version=1,
    source="the classes 3, 5 and 8 of digits, which are often taken for each other",
    download="none: bundled",
)
def digits_3_5_8(root: Path) -> Dataset:
    """Load three classes of the digits."""
    whole = digits(root)
    names = ("3", "5", "8")

    def chosen(part: Samples) -> ImageSet:
        assert isinstance(part, ImageSet)
        wanted = torch.tensor([int(name) for name in names])
        matches = part.labels[:, None] == wanted
        return ImageSet(part.images[matches.any(dim=1)], matches.int().argmax(dim=1)[matches.any(dim=1)])

    return replace(whole, train=chosen(whole.train), test=chosen(whole.test), class_names=names)
