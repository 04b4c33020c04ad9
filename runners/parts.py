"""A data set, split and laid on the device: what all cells with the same data and protocol share."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from core.batch import DataInfo
from core.random import generator
from data import DATASETS, Dataset, ImageSet
from data.loader import Resident
from data.splits import validation_split


@dataclass(frozen=True)
class Parts:
    """Training, validation (possibly empty) and test part of a data set on the device."""

    train: Resident
    val: Resident
    test: Resident
    class_names: tuple[str, ...]
    class_counts: Tensor

    def info(self, seed: int) -> DataInfo:
        """Return what a head may know, with a generator of its own for this seed."""
        _, *shape = self.train.images.shape
        return DataInfo(
            num_classes=len(self.class_names),
            class_counts=self.class_counts,
            class_names=self.class_names,
            train_size=len(self.train),
            image_shape=(shape[0], shape[1], shape[2]),
            generator=generator(seed, "head generator"),
        )


def load(name: str, root: Path) -> Dataset:
    """Load a registered data set from the data folder."""
    return DATASETS.get(name).target(root)


def split(dataset: Dataset, val_fraction: float, split_seed: int, device: torch.device) -> Parts:
    """Carve the validation part out of the training set and lay all three on the device."""
    train, val = validation_split(dataset.train.labels, val_fraction, split_seed)
    everything = torch.arange(len(dataset.test))

    def lay(part: ImageSet, positions: Tensor) -> Resident:
        return Resident.of(part, positions, dataset.mean, dataset.std, device)

    counts = torch.bincount(dataset.train.labels[train], minlength=len(dataset.class_names))
    return Parts(lay(dataset.train, train), lay(dataset.train, val), lay(dataset.test, everything), dataset.class_names, counts)
