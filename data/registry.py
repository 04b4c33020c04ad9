"""The registry of data sets and what each of them gives."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from core.registry import Registry


@dataclass(frozen=True)
class ImageSet:
    """Labelled images: ``images`` (N, channels, H, W) uint8 and ``labels`` (N,) int64, on the CPU."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set as its file loads it.

    Attributes:
        train: training images.
        test: test images.
        class_names: C names, in label order.
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1].
    """

    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over images and labels of both parts, 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for tensor in (self.train.images, self.train.labels, self.test.images, self.test.labels):
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
        return digest.hexdigest()[:16]


DATASETS: Registry[Callable[[Path], Dataset]] = Registry("data set")
register = DATASETS.register
