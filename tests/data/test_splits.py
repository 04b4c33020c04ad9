"""The validation split: stratified, fixed by its seed, without overlap."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from headbench.core.errors import UserError
from headbench.data import Dataset
from headbench.data.registry import ImageSet
from headbench.data.splits import Protocol, balanced_split, partition, validation_split
from tests.data.test_longtail import dataset, shuffled


def test_the_split_is_stratified_and_complete() -> None:
    labels = torch.arange(1000) % 10
    train, val = validation_split(labels, 0.1, seed=0)
    assert torch.cat([train, val]).sort().values.tolist() == list(range(1000))
    assert torch.bincount(labels[val]).tolist() == [10] * 10
    assert torch.equal(train, train.sort().values)


def test_the_seed_decides() -> None:
    labels = torch.arange(1000) % 10
    assert torch.equal(validation_split(labels, 0.1, 0)[1], validation_split(labels, 0.1, 0)[1])
    assert not torch.equal(validation_split(labels, 0.1, 0)[1], validation_split(labels, 0.1, 1)[1])


def test_no_fraction_no_validation() -> None:
    train, val = validation_split(torch.arange(10) % 2, 0, 0)
    assert (len(train), len(val)) == (10, 0)


def test_a_class_that_cannot_be_split_is_one_line() -> None:
    with pytest.raises(UserError, match=r"val_fraction: 0.1 of 4 images cannot be split by class"):
        validation_split(torch.tensor([0, 0, 0, 1]), 0.1, 0)


def test_a_class_that_would_keep_no_training_image_is_one_line() -> None:
    labels = torch.cat([torch.zeros(98), torch.ones(2)]).long()
    with pytest.raises(UserError, match=r"^val_fraction: 0.8 leaves class 1 without training images$"):
        validation_split(labels, 0.8, 0)


def test_classes_are_called_by_their_names_and_there_is_a_way_out() -> None:
    names, labels = ("ant", "bee"), torch.tensor([0, 0, 0, 1])
    with pytest.raises(UserError, match=r"\(1 classes have one image: bee\)$"):
        validation_split(labels, 0.1, 0, names)
    with pytest.raises(UserError, match=r"0.1 of 8 images cannot be split by class \(it is 1 images for 2 classes\)$"):
        validation_split(torch.arange(8) % 2, 0.1, 0, names)
    images = ImageSet(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), labels)
    dataset = Dataset(images, images, names, (0.5,), (0.5,))
    with pytest.raises(UserError, match=r"bee\); give another val_fraction, or 0 to hold nothing out$"):
        partition(dataset, Protocol(val_fraction=0.1))


def test_the_balanced_part_is_as_large_as_the_fraction_says() -> None:
    """Also where the product in floating point is a little less: 0.29, 0.57, 0.58."""
    labels = torch.arange(1000) % 10
    for hundredths in range(1, 99):
        part = balanced_split(labels, hundredths / 100, 0, 10)
        assert torch.bincount(labels[part]).tolist() == [hundredths] * 10


def test_many_classes_that_cannot_be_split_are_a_short_line() -> None:
    with pytest.raises(
        UserError, match=r"cannot be split by class \(998 classes have one image, by number: 2, 3, 4, 5, 6, ...\)"
    ) as caught:
        validation_split(torch.cat([torch.zeros(5000), torch.ones(5000), torch.arange(2, 1000)]).long(), 0.1, 0)
    assert len(str(caught.value)) < 200


def test_the_hold_out_is_that_of_its_seed() -> None:
    """As scikit-learn draws it; of a long tail a balanced part, which is drawn too."""
    labels = shuffled([50] * 10)
    for seed in (0, 7):
        _, val = train_test_split(np.arange(500), test_size=0.1, stratify=labels.numpy(), random_state=seed)
        assert partition(dataset(labels), Protocol(0.1, seed)).val.tolist() == sorted(val.tolist())
    tailed = [partition(dataset(labels), Protocol(0.1, seed, 10.0)).val for seed in (0, 0, 7)]
    assert torch.equal(*tailed[:2])
    assert len(set(tailed[0].tolist()) & set(tailed[2].tolist())) < 25
    first = torch.cat([torch.nonzero(labels == number)[:5, 0] for number in range(10)]).sort().values
    assert not torch.equal(tailed[0], first)
