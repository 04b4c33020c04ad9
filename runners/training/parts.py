"""A data set, divided: in outline as a plan needs it, and laid on the device as training needs it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.core.errors import UserError, at
from headbench.core.streams import generator
from headbench.data import DATASETS, Dataset, FileSet, ImageSet, cache
from headbench.data.formats.image_files import check_variation
from headbench.data.loading.augment import Statistics
from headbench.data.loading.epoch import Part
from headbench.data.loading.features import Features
from headbench.data.loading.foreign import Foreign
from headbench.data.loading.readers import Readers
from headbench.data.loading.resident import Resident
from headbench.data.loading.streamed import Streamed
from headbench.data.registry import Samples
from headbench.data.splits import Partition, Protocol
from headbench.runners.grid.cells import Cell, digest


@dataclass(frozen=True)
class Division:
    """Which data a cell is trained on; cells of the same division share their parts.

    Attributes:
        source: the data set with its options.
        protocol: how its training set is divided.
        statistics: that images are normalised by, or None for the data set's own.
    """

    source: str
    protocol: Protocol
    statistics: Statistics | None

    @classmethod
    def of(cls, cell: Cell) -> "Division":
        """Return the division of a cell."""
        shown = cell.recipe.normalisation
        return cls(source(cell), protocol(cell), None if shown is None else (shown.mean, shown.std))


def protocol(cell: Cell) -> Protocol:
    """Return how a cell's training set is divided."""
    return Protocol(
        cell.val_fraction, cell.split_seed, cell.imbalance_factor, cell.imbalance_profile, cell.imbalance_seed
    )


def source(cell: Cell) -> str:
    """Return the data set of a cell with its options, as one text."""
    return json.dumps([cell.dataset, cell.dataset_options], sort_keys=True)


@dataclass(frozen=True)
class Outline:
    """What is known of a divided data set without its images.

    Attributes:
        fingerprint: of the data set.
        class_names: C names.
        class_counts: (C,) images of the training part.
        image_shape: (channels, height, width) of a batch's images.
        kind: of its training part.
        n_train: images of the training part.
        n_val: images of the validation part.
        n_test: images of the test part.
        official_val: the data set has a validation part of its own.
    """

    fingerprint: str
    class_names: tuple[str, ...]
    class_counts: Tensor
    image_shape: tuple[int, int, int]
    kind: type[Resident] | type[Streamed]
    n_train: int
    n_val: int
    n_test: int
    official_val: bool

    @property
    def identity(self) -> str:
        """What a ``cell_id`` tells of the data."""
        return f"{self.fingerprint} {digest(self.class_names)}"

    def info(self, seed: int) -> DataInfo:
        """Return what a head may know, with a generator of its own for this seed."""
        return DataInfo(
            num_classes=len(self.class_names),
            class_counts=self.class_counts,
            class_names=self.class_names,
            train_size=self.n_train,
            image_shape=self.image_shape,
            generator=generator(seed, "head generator"),
            val_size=self.n_val,
        )


@dataclass(frozen=True)
class Parts:
    """Training, validation (possibly empty) and test part of a data set on the device.

    Attributes:
        outline: their names and sizes.
        train: training part.
        val: held out for choices.
        test: test part, empty for a trial of a search.
        nominal: (C,) images that the protocol wants; they define the many, medium and few classes.
        ranges: first class of the medium and of the few group in the convention of index ranges, or None.
        outside: test images of other data sets, by the key of what is measured on them.
    """

    outline: Outline
    train: Part
    val: Part
    test: Part
    nominal: Tensor
    ranges: tuple[int, int] | None
    outside: dict[str, Foreign] = field(default_factory=dict)

    def info(self, seed: int) -> DataInfo:
        """Return what a head may know, with a generator of its own for this seed."""
        return self.outline.info(seed)

    def inputs(self) -> dict[str, Any]:
        """Return what ``result.json`` keeps beside weights, so that the network can be built again without the data."""
        mean, std = self.train.statistics
        return {
            "image_shape": list(self.outline.image_shape),
            "class_counts": self.outline.class_counts.tolist(),
            "mean": list(mean),
            "std": list(std),
        }


def load(name: str, options: dict[str, Any], root: Path) -> Dataset:
    """Load a registered data set from the data folder, or from its cache there.

    Raises:
        UserError: naming the data set, if it is missing, damaged, a class has no training images, or a channel of
            images in memory one value everywhere.
    """
    with at(f"data set '{name}'"):
        dataset = cache.load(DATASETS.get(name), options, root)
        if len(dataset.class_names) < 2:
            raise UserError(f"it has one class, '{dataset.class_names[0]}'; heads tell two or more apart")
        counts = torch.bincount(dataset.train.labels, minlength=len(dataset.class_names)).tolist()
        if 0 in counts:
            raise UserError(f"class '{dataset.class_names[counts.index(0)]}' has no training images")
        if isinstance(dataset.train, ImageSet):
            check_variation(dataset.train.images)
    return dataset


def kind(dataset: Dataset) -> type[Resident] | type[Streamed]:
    """Return what the training part of a data set is: in memory, or streamed."""
    return Streamed if isinstance(dataset.train, FileSet) else Resident


def outline(dataset: Dataset, partition: Partition) -> Outline:
    """Return what is known of a divided data set without its images."""
    held_out = partition.val if partition.official is None else partition.official
    return Outline(
        fingerprint=dataset.fingerprint,
        class_names=dataset.class_names,
        class_counts=torch.bincount(partition.labels, minlength=len(dataset.class_names)),
        image_shape=dataset.train.image_shape,
        kind=kind(dataset),
        n_train=len(partition.train),
        n_val=len(held_out),
        n_test=len(dataset.test),
        official_val=dataset.val is not None,
    )


def check_statistics(dataset: Dataset, statistics: Statistics | None) -> None:
    """Raise UserError if the statistics have another number of channels than the images."""
    if statistics is not None and len(statistics[0]) != len(dataset.mean):
        raise UserError(
            f"the recipe's normalisation is for {len(statistics[0])} channels, the images have {len(dataset.mean)}; "
            f"set recipe.normalisation=null"
        )


def lay(
    dataset: Dataset,
    partition: Partition,
    statistics: Statistics | None,
    device: torch.device,
    features: dict[str, Tensor] | None = None,
    *,
    with_test: bool = True,
    readers: Readers | None = None,
) -> Parts:
    """Lay training, validation and test part on the device, normalised by ``statistics``, or by the data set's own.

    Where ``features`` (M, F) stand for the images of each part of the data set, by its name, they are laid instead.
    Without the test part there is an empty one in its place, for which no image is read. Files are read by ``readers``.

    Raises:
        UserError: if the statistics have another number of channels than the images.
    """
    check_statistics(dataset, statistics)
    shown = statistics or (dataset.mean, dataset.std)

    def part(name: str, samples: Samples, positions: Tensor, labels: Tensor) -> Part:
        if isinstance(samples, FileSet):
            return Streamed.of(samples, positions, labels, shown, device, readers)
        if features is not None:
            return Features.of(features[name], positions, labels, samples.image_shape, shown, device)
        return Resident.of(samples.images, positions, labels, shown, device)

    def whole(name: str, samples: Samples) -> Part:
        return part(name, samples, torch.arange(len(samples)), samples.labels)

    held_out = part("train", dataset.train, partition.val, dataset.train.labels[partition.val])
    nothing = torch.arange(0)
    return Parts(
        outline=outline(dataset, partition),
        train=part("train", dataset.train, partition.train, partition.labels),
        val=held_out if partition.official is None else whole("val", partition.official),
        test=whole("test", dataset.test) if with_test else part("train", dataset.train, nothing, nothing),
        nominal=partition.nominal,
        ranges=dataset.ranges,
    )
