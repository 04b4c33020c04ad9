"""Subclasses: how many, that they nest in classes, and the temperatures of their classes."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.data.longtail import profile
from headbench.heads.normalisation import unit
from headbench.heads.subclasses import Form, cluster, dynamic_temperatures, subclass_counts


def facts(counts: list[int]) -> DataInfo:
    names = tuple(map(str, range(len(counts))))
    return DataInfo(len(counts), torch.tensor(counts), names, sum(counts), (1, 8, 8), torch.Generator())


def blobs(sizes: list[int], dim: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit vectors (N, p) in a mixed order, and their classes, of these sizes."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=stream)]
    return unit(torch.randn(len(labels), dim, generator=stream)), labels


@pytest.mark.parametrize(
    ("counts", "smallest", "expected"),
    [
        ([500, 99, 100, 6, 5], 10, [50, 9, 10, 1, 1]),
        ([500, 99, 100, 60, 50], 10, [10, 1, 2, 1, 1]),
        ([4, 2, 1], 1, [4, 2, 1]),
        ([25, 1, 0], 10, [2, 1, 1]),
    ],
    ids=["tail below the option", "tail above the option", "one image a subclass", "one image and none"],
)
def test_a_subclass_is_about_as_large_as_the_smallest_class(
    counts: list[int], smallest: int, expected: list[int]
) -> None:
    assert subclass_counts(facts(counts), smallest).tolist() == expected


def test_subclass_counts_of_cifar_100_with_a_long_tail() -> None:
    counts = profile("exp", 500, 100, 100)
    found = subclass_counts(facts(counts.tolist()), 10)
    assert found[:3].tolist() == [50, 47, 45]
    assert found.sum() == sum(max(1, n // 10) for n in counts.tolist())


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any), least=st.integers(1, 5))
def test_each_subclass_belongs_to_one_class_and_none_is_empty(sizes: list[int], least: int) -> None:
    counts = subclass_counts(facts(sizes), least)
    features, labels = blobs(sizes)
    found = cluster(features, labels, counts, seed=1)
    first = counts.cumsum(0) - counts
    for number, size in enumerate(sizes):
        numbers = range(int(first[number]), int(first[number] + counts[number])) if size else ()
        assert found[labels == number].unique().tolist() == list(numbers)


def test_clusters_are_found_where_they_are() -> None:
    """Two classes of three far corners each; which first centres are drawn does not matter with one of each."""
    corners = torch.eye(6)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    found = cluster(corners, labels, torch.tensor([3, 3]), seed=0)
    assert sorted(found[:3].tolist()) == [0, 1, 2]
    assert sorted(found[3:].tolist()) == [3, 4, 5]
    near = unit(torch.eye(2).repeat_interleave(20, dim=0) + 0.01 * torch.randn(40, 2, generator=torch.Generator()))
    for seed in range(5):
        halves = cluster(near, torch.zeros(40, dtype=torch.int64), torch.tensor([2]), seed)
        assert halves[:20].unique().numel() == halves[20:].unique().numel() == 1
        assert halves[0] != halves[20]


def test_every_image_is_nearest_to_the_mean_of_its_own_subclass() -> None:
    features, labels = blobs([40, 23])
    found = cluster(features, labels, torch.tensor([4, 3]), seed=0)
    means = torch.stack([features[found == number].mean(dim=0) for number in range(7)])
    own_class = labels[:, None] == torch.tensor([0, 0, 0, 0, 1, 1, 1])
    distances = torch.cdist(features.double(), means.double()).masked_fill(~own_class, math.inf)
    assert torch.equal(distances.argmin(dim=1), found)


def test_the_seed_decides() -> None:
    features, labels = blobs([60, 50])
    first, again, other = (cluster(features, labels, torch.tensor([6, 5]), seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_equal_features_leave_subclasses_empty_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cluster(torch.ones(8, 2), torch.zeros(8, dtype=torch.int64), torch.tensor([3]), seed=0)
    assert found.unique().numel() == 1


def slow_temperatures(features: Tensor, labels: Tensor, counts: list[int], form: Form) -> list[float]:
    """The formula in float64, sample by sample; percentiles by sorting."""
    spreads: dict[int, float] = {}
    for number in labels.unique().tolist():
        own = [row for row, label in zip(features.double().numpy(), labels.tolist(), strict=True) if label == number]
        mean = sum(own) / len(own)
        spreads[number] = sum(math.sqrt(((row - mean) ** 2).sum()) for row in own) / len(own) / math.log(len(own) + 10)
    ordered = sorted(spreads.values())

    def percentile(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        return ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])

    clipped = {number: min(max(value, percentile(0.2)), percentile(0.8)) for number, value in spreads.items()}
    mean = sum(clipped.values()) / len(clipped)
    found = []
    for number, count in enumerate(counts):
        ratio = clipped.get(number, 0.0) / mean
        found.append(0.1 if count == 1 or not ratio else 0.1 * (ratio if form == "linear" else math.exp(ratio)))
    return found


@pytest.mark.parametrize("form", ["linear", "exponential"])
@pytest.mark.parametrize("sizes", [[30, 20, 12, 9, 5], [30, 1, 0, 8], [6]])
def test_temperatures_agree_with_the_slow_formula(sizes: list[int], form: Form) -> None:
    features, labels = blobs(sizes)
    features[labels == 0] = unit(features[labels == 0] + torch.tensor([5.0, 0.0, 0.0]))
    counts = subclass_counts(facts(sizes), 4)
    found = dynamic_temperatures(features, labels, counts, 0.1, form)
    assert found.tolist() == pytest.approx(slow_temperatures(features, labels, counts.tolist(), form), rel=1e-5)


def test_a_tight_class_is_contrasted_at_a_lower_temperature() -> None:
    """Of six classes, two tight and two spread out: after the percentiles more than one of each is left."""
    features, labels = blobs([30] * 6)
    lengths = torch.tensor([3.0, 1.0, 9.0, 0.0, 9.0, 0.0])[labels]
    shift = torch.stack([lengths, torch.zeros(180), torch.zeros(180)], dim=1)
    found = dynamic_temperatures(unit(features + shift), labels, torch.full((6,), 3), 0.1)
    assert found[2] == found[4] == found.min() < found[0] < found[1] < found.max() == found[3] == found[5]
    assert found.min() < 0.05


def test_classes_without_spread_keep_the_temperature() -> None:
    counts, labels = torch.tensor([2, 2, 2]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    flat = torch.ones(12, 3)
    assert dynamic_temperatures(flat, labels, counts, 0.1).tolist() == pytest.approx([0.1] * 3)
    flat[labels == 0] = torch.from_numpy(np.eye(4, 3, dtype=np.float32))
    found = dynamic_temperatures(flat, labels, counts, 0.1)
    assert torch.isfinite(found).all()
    assert (found > 0).all()
