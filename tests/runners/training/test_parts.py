"""A data set, divided and laid as a cell says."""

from pathlib import Path

import torch

from headbench.data import ImageSet
from headbench.data.splits import Protocol, partition
from headbench.runners.training import parts
from tests.data.test_longtail import svhn_like
from tests.runners.helpers import CPU, QUICK, cell


def test_a_cell_is_divided_as_it_says() -> None:
    drawn = {"val_fraction": 0.2, "split_seed": 3, "imbalance_profile": "step", "imbalance_seed": 5}
    one = cell("psc", **drawn, axes={"imbalance_factor": [10]})
    assert parts.protocol(one) == Protocol(0.2, 3, 10, "step", 5)


def test_a_head_is_told_the_images_that_there_are_and_groups_go_by_those_that_are_wanted() -> None:
    source, labels = svhn_like()
    found = partition(source, Protocol(imbalance_factor=100))
    there = torch.bincount(labels[found.train], minlength=10)
    assert parts.outline(source, found).class_counts.tolist() == there.tolist()
    laid = parts.lay(source, found, None, CPU.device)
    assert laid.info(0).class_counts.tolist() == there.tolist()
    # Of the two largest classes there are fewer than the tail wants of one.
    assert laid.nominal.sum() == 18177 + 131811
    assert there.sum() == 140048


def test_images_are_normalised_by_the_statistics_of_the_recipe() -> None:
    one = cell("psc", recipe=QUICK | {"normalisation": {"mean": [0.25], "std": [0.5]}})
    division, images = parts.Division.of(one), parts.load("digits", {}, Path())
    assert isinstance(images.test, ImageSet)
    laid = parts.lay(images, partition(images, division.protocol), division.statistics, CPU.device)
    shown = torch.cat(list(laid.test.plain_batches()))
    assert torch.allclose(shown, (images.test.images / 255 - 0.25) / 0.5, atol=1e-6)
