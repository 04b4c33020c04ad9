"""STL-10: the labelled 5,000 + 8,000 images of 96x96 in 10 classes."""

from pathlib import Path

import numpy as np
import torch

from data.image_files import statistics
from data.registry import Dataset, ImageSet, register
from data.torchvision_sets import fetch


@register("stl10", version=1, source="Coates et al., 2011; torchvision's download and MD5 check; no unlabelled images")
def stl10(root: Path) -> Dataset:
    """Load STL-10 from ``root/stl10_binary``, or download it there."""
    parts = [fetch("STL10", root, split=split) for split in ("train", "test")]
    train, test = (ImageSet(torch.from_numpy(np.ascontiguousarray(part.data)), torch.from_numpy(part.labels.astype(np.int64))) for part in parts)
    mean, std = statistics(train.images)
    return Dataset(train, test, tuple(parts[0].classes), mean, std, read_from=(root / parts[0].base_folder,), ranges=(3, 7))
