"""Which images train and which validate: the hold-out, the long-tailed subset, and their order."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from headbench.core.errors import UserError
from headbench.data.longtail import draw, profile
from headbench.data.registry import Dataset, Samples

# Classes that a message names.
FEW = 5
# Of the images that a long tail wants of a class: classes of the digits differ by some per cent.
SUFFICES = 0.9


@dataclass(frozen=True)
class Protocol:
    """How a training set is divided.

    Attributes:
        val_fraction: part held out for validation, in [0, 1).
        split_seed: of the hold-out.
        imbalance_factor: n_max / n_min of the long tail; 1 keeps all images.
        profile: of its class counts, ``exp`` or ``step``.
        imbalance_seed: of its images.
    """

    val_fraction: float = 0.0
    split_seed: int = 0
    imbalance_factor: float = 1.0
    profile: str = "exp"
    imbalance_seed: int = 0


@dataclass(frozen=True)
class Partition:
    """The training set divided.

    Attributes:
        train: (N,) positions of the training part.
        labels: (N,) its labels; those of the data set, unless a replica of a faulty protocol says otherwise.
        val: positions of the images held out for validation, sorted.
        official: the data set's own validation set, where it is used instead.
        nominal: (C,) training images of each class as the protocol wants them; without a long tail, as they are.
    """

    train: Tensor
    labels: Tensor
    val: Tensor
    official: Samples | None
    nominal: Tensor


def partition(dataset: Dataset, protocol: Protocol) -> Partition:
    """Hold out a validation part and draw the long tail from what is left.

    Without imbalance the hold-out is stratified; with it, every class gives the same number of images. Where the data
    set has a validation set of its own, that one is used instead. A ``val_fraction`` of 0 means no validation at all.

    Raises:
        UserError: if a class is too small for the split, or the long tail leaves a class without images.
    """
    labels, num_classes = dataset.train.labels, len(dataset.class_names)
    if protocol.imbalance_factor == 1 and dataset.draw is not draw:
        raise UserError(
            "imbalance_factor: 1 means the whole set, but this data set replicates a long-tailed protocol; give one "
            "above 1"
        )
    official = dataset.val if protocol.val_fraction else None
    fraction = protocol.val_fraction if official is None else 0.0
    if protocol.imbalance_factor == 1:
        try:
            train, val = validation_split(labels, fraction, protocol.split_seed, dataset.class_names)
        except UserError as error:
            raise UserError(f"{error}; give another val_fraction, or 0 to hold nothing out") from None
        return Partition(train, labels[train], val, official, torch.bincount(labels[train], minlength=num_classes))
    val = balanced_split(labels, fraction, protocol.split_seed, num_classes)
    free = torch.ones(len(labels), dtype=torch.bool)
    free[val] = False
    positions, given, nominal, start, most = [], [], torch.zeros(num_classes, dtype=torch.int64), 0, 0
    for length in dataset.sources or (len(labels),):
        members = start + torch.nonzero(free[start : start + length])[:, 0]
        wanted = profile(protocol.profile, len(members) / num_classes, protocol.imbalance_factor, num_classes)
        there = torch.bincount(labels[members], minlength=num_classes)
        short = torch.nonzero(there < SUFFICES * wanted)[:, 0].tolist()
        if short and not dataset.sources:
            first, factor = short[0], protocol.imbalance_factor
            raise UserError(
                f"imbalance_factor: {factor:g} wants {int(wanted[first])} images of class "
                f"'{dataset.class_names[first]}', which has {int(there[first])}: a long tail is drawn from classes of "
                "about equal sizes"
            )
        chosen, chosen_labels = dataset.draw(labels[members], wanted, protocol.imbalance_seed)
        positions.append(members[chosen])
        given.append(chosen_labels)
        nominal += wanted
        start += length
        most = max(most, len(members) // num_classes)
    empty = [dataset.class_names[c] for c in torch.nonzero(nominal == 0)[:, 0]]
    if empty:
        raise UserError(
            f"imbalance_factor: {protocol.imbalance_factor:g} leaves {len(empty)} of {num_classes} classes without "
            f"images, first '{empty[0]}'; it is at most the number of images per class that are left to train on, "
            f"about {most}"
        )
    return Partition(torch.cat(positions), torch.cat(given), val, official, nominal)


def unseen(dataset: Dataset, divided: Partition) -> list[str]:
    """Return the names of the classes of which no image is held out, none where nothing is."""
    if not len(divided.val):
        return []
    counts = torch.bincount(dataset.train.labels[divided.val], minlength=len(dataset.class_names))
    return [dataset.class_names[number] for number in torch.nonzero(counts == 0)[:, 0]]


def validation_split(
    labels: Tensor, fraction: float, seed: int, class_names: tuple[str, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Return (training positions, validation positions), each sorted, stratified by class.

    Args:
        labels: (N,) of the training set.
        fraction: part that becomes validation, in [0, 1); 0 leaves it empty.
        seed: ``split_seed``.
        class_names: for messages; by default numbers stand for them.

    Raises:
        UserError: if a class is too small to be split, or left without a training image.

    Source: ``sklearn.model_selection.train_test_split``.
    """
    everything, names = torch.arange(len(labels)), class_names or range(len(torch.bincount(labels)))
    if fraction == 0:
        return everything, everything[:0]
    try:
        train, val = train_test_split(
            everything.numpy(), test_size=fraction, stratify=labels.numpy(), random_state=seed
        )
    except ValueError as error:
        counts = torch.bincount(labels)
        single, held = torch.nonzero(counts == 1)[:, 0].tolist(), math.ceil(fraction * len(labels))
        few = ", ".join(str(names[c]) for c in single[:FEW]) + (", ..." if len(single) > FEW else "")
        if single:
            reason = f"{len(single)} classes have one image{'' if class_names else ', by number'}: {few}"
        elif held < (there := int((counts > 0).sum())):
            reason = f"it is {held} images for {there} classes"
        else:
            reason = str(error)[:200]
        raise UserError(
            f"val_fraction: {fraction} of {len(labels)} images cannot be split by class ({reason})"
        ) from None
    without = torch.nonzero(
        (torch.bincount(labels) > 0) & (torch.bincount(labels[train], minlength=int(labels.max()) + 1) == 0)
    )
    if len(without):
        raise UserError(f"val_fraction: {fraction} leaves class {names[int(without[0])]} without training images")
    return torch.from_numpy(train).sort().values, torch.from_numpy(val).sort().values


def balanced_split(labels: Tensor, fraction: float, seed: int, num_classes: int) -> Tensor:
    """Return sorted positions of a validation part with the same number of images, fraction x N / C, of every class.

    Raises:
        UserError: if a class has no more images than that.
    """
    # Of 0.29 x 500 the product is a little less than 145.
    each = int(round(fraction * len(labels) / num_classes, 6))
    smallest = int(torch.bincount(labels, minlength=num_classes).min())
    if fraction and not 0 < each < smallest:
        raise UserError(
            f"val_fraction: {fraction} of {len(labels)} images is {each} of each class, and the smallest class has "
            f"{smallest}"
        )
    random = np.random.default_rng(seed)
    chosen = [random.choice(np.flatnonzero(labels.numpy() == c), each, replace=False) for c in range(num_classes)]
    return torch.from_numpy(np.concatenate(chosen)).sort().values
