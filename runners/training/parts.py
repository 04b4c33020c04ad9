"""A data set, divided and laid on the device: what all cells with the same data and protocol share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.core.errors import UserError
from headbench.core.streams import generator
from headbench.data import DATASETS, Dataset, FileSet, ImageSet, cache
from headbench.data.formats.image_files import check_variation
from headbench.data.loading.epoch import Part
from headbench.data.loading.features import Features
from headbench.data.loading.resident import Resident
from headbench.data.loading.streamed import Streamed
from headbench.data.registry import Samples
from headbench.data.splits import Partition

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Parts:
    """Training, validation (possibly empty) and test part of a data set on the device.

    Attributes:
        train: training part.
        val: held out for choices.
        test: test part.
        class_names: C names.
        class_counts: (C,) images of the training part.
        nominal: (C,) images that the protocol wants; they define the many, medium and few classes.
        ranges: first class of the medium and of the few group in the convention of index ranges, or None.
    """

    train: Part
    val: Part
    test: Part
    class_names: tuple[str, ...]
    class_counts: Tensor
    nominal: Tensor
    ranges: tuple[int, int] | None

    def info(self, seed: int) -> DataInfo:
        """Return what a head may know, with a generator of its own for this seed."""
        return DataInfo(
            num_classes=len(self.class_names),
            class_counts=self.class_counts,
            class_names=self.class_names,
            train_size=len(self.train),
            image_shape=self.train.image_shape,
            generator=generator(seed, "head generator"),
        )

    def inputs(self) -> dict[str, Any]:
        """Return what ``result.json`` keeps beside weights, so that the network can be built again without the data."""
        mean, std = self.train.statistics
        return {
            "image_shape": list(self.train.image_shape),
            "class_counts": self.class_counts.tolist(),
            "mean": list(mean),
            "std": list(std),
        }


def load(name: str, options: dict[str, Any], root: Path) -> Dataset:
    """Load a registered data set from the data folder, or from its cache there.

    Raises:
        UserError: naming the data set, if it is missing, damaged, a class has no training images, or a channel one
            value everywhere.
    """
    try:
        dataset = cache.load(DATASETS.get(name), options, root)
        missing = torch.nonzero(torch.bincount(dataset.train.labels, minlength=len(dataset.class_names)) == 0)[
            :, 0
        ].tolist()
        if missing:
            raise UserError(f"class '{dataset.class_names[missing[0]]}' has no training images")
        if isinstance(dataset.train, ImageSet):
            check_variation(dataset.train.images)
    except UserError as error:
        raise UserError(f"data set '{name}': {error}") from None
    return dataset


def lay(
    dataset: Dataset,
    partition: Partition,
    statistics: Statistics | None,
    device: torch.device,
    features: dict[str, Tensor] | None = None,
) -> Parts:
    """Lay training, validation and test part on the device, normalised by ``statistics``, or by the data set's own.

    Where ``features`` (M, F) stand for the images of each part of the data set, by its name, they are laid instead.

    Raises:
        UserError: if the statistics have another number of channels than the images.
    """
    shown = statistics or (dataset.mean, dataset.std)
    if len(shown[0]) != len(dataset.mean):
        raise UserError(
            f"the recipe's normalisation is for {len(shown[0])} channels, the images have {len(dataset.mean)}; set "
            f"recipe.normalisation=null"
        )

    def part(name: str, samples: Samples, positions: Tensor, labels: Tensor) -> Part:
        if isinstance(samples, FileSet):
            return Streamed.of(samples, positions, labels, shown, device)
        if features is not None:
            _, channels, height, width = samples.images.shape
            return Features.of(features[name], positions, labels, (channels, height, width), shown, device)
        return Resident.of(samples.images, positions, labels, shown, device)

    def whole(name: str, samples: Samples) -> Part:
        return part(name, samples, torch.arange(len(samples)), samples.labels)

    held_out = part("train", dataset.train, partition.val, dataset.train.labels[partition.val])
    return Parts(
        train=part("train", dataset.train, partition.train, partition.labels),
        val=held_out if partition.official is None else whole("val", partition.official),
        test=whole("test", dataset.test),
        class_names=dataset.class_names,
        class_counts=torch.bincount(partition.labels, minlength=len(dataset.class_names)),
        nominal=partition.nominal,
        ranges=dataset.ranges,
    )
