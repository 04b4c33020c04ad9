"""Long-tailed protocols: the published counts, the published subset, and labels that are those of the source."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headbench.core.errors import UserError
from headbench.data import Dataset, ImageSet
from headbench.data.longtail import draw, misaligned_draw, profile
from headbench.data.splits import Protocol, partition, unseen

# Images per digit in SVHN's train and extra part; they sum to the published 73,257 and 531,131.
SVHN = {
    "train": [4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659],
    "extra": [45550, 90560, 74740, 60765, 50633, 53490, 41582, 43997, 35358, 34456],
}
CIFAR10 = {
    10: [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500],
    50: [5000, 3237, 2096, 1357, 878, 568, 368, 238, 154, 100],
    100: [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
    200: [5000, 2775, 1540, 854, 474, 263, 146, 81, 45, 25],
}
STL10 = {
    50: [500, 323, 209, 135, 87, 56, 36, 23, 15, 10],
    100: [500, 299, 179, 107, 64, 38, 23, 13, 8, 5],
    200: [500, 277, 154, 85, 47, 26, 14, 8, 4, 2],
}


def shuffled(counts: list[int], seed: int = 0) -> Tensor:
    """Labels with these class counts, in a random order."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


def dataset(labels: Tensor, **facts: object) -> Dataset:
    """A data set whose only contents are labels."""
    classes = int(labels.max()) + 1
    images = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    train = ImageSet(images, labels)
    names = tuple(f"class {c}" for c in range(classes))
    return Dataset(train, ImageSet(images[:1], labels[:1]), names, (0.0,), (1.0,), **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize("imbalance", CIFAR10)
def test_cifar10_counts_are_the_published_ones(imbalance: int) -> None:
    assert profile("exp", 5000, imbalance, 10).tolist() == CIFAR10[imbalance]


@pytest.mark.parametrize(
    ("imbalance", "total", "last"), [(10, 19573, 50), (50, 12608, 10), (100, 10847, 5), (200, 9502, 2)]
)
def test_cifar100_counts_are_the_published_ones(imbalance: int, total: int, last: int) -> None:
    counts = profile("exp", 500, imbalance, 100)
    assert (counts.sum().item(), counts[0].item(), counts[-1].item()) == (total, 500, last)


@pytest.mark.parametrize("imbalance", STL10)
def test_stl10_counts_are_the_published_ones(imbalance: int) -> None:
    assert profile("exp", 500, imbalance, 10).tolist() == STL10[imbalance]


def test_the_step_profile_has_two_levels() -> None:
    assert profile("step", 500, 100, 5).tolist() == [500, 500, 5, 5, 5]


@pytest.mark.parametrize("imbalance", [10, 50, 100, 200])
def test_the_subset_is_that_of_ldam_drw(imbalance: int) -> None:
    """Against the procedure written out with numpy's global generator, as the reference code runs it."""
    labels = shuffled([500] * 100)
    np.random.seed(0)
    expected: list[int] = []
    for c in range(100):
        members = np.where(labels.numpy() == c)[0]
        np.random.shuffle(members)
        expected += members[: int(500 * (1 / imbalance) ** (c / 99.0))].tolist()
    found = partition(dataset(labels), Protocol(imbalance_factor=imbalance))
    assert found.train.tolist() == expected
    assert torch.equal(found.labels, labels[found.train])
    assert len(found.val) == 0


def svhn_like(**facts: object) -> tuple[Dataset, Tensor]:
    labels = torch.cat([shuffled(SVHN["train"], 1), shuffled(SVHN["extra"], 2)])
    return dataset(labels, sources=(sum(SVHN["train"]), sum(SVHN["extra"])), **facts), labels


@pytest.mark.parametrize(
    ("imbalance", "nominal", "drawn"),
    [(50, 20507 + 148711, 159278), (100, 18177 + 131811, 140048), (200, 16412 + 119034, 125506)],
)
def test_svhn_lt_never_asks_for_more_than_there_is_and_labels_are_the_sources(
    imbalance: int, nominal: int, drawn: int
) -> None:
    source, labels = svhn_like()
    found = partition(source, Protocol(imbalance_factor=imbalance))
    assert found.nominal.sum() == nominal
    assert len(found.train) == len(found.train.unique()) == drawn
    assert torch.equal(found.labels, labels[found.train])
    assert (torch.bincount(found.labels) <= found.nominal).all()


@pytest.mark.parametrize(("imbalance", "correct", "digits"), [(50, 0.651, 7), (100, 0.660, 6), (200, 0.673, 5)])
def test_the_replica_of_the_faulty_svhn_lt_is_as_wrong_as_the_published_one(
    imbalance: int, correct: float, digits: int
) -> None:
    source, labels = svhn_like(draw=misaligned_draw)
    found = partition(source, Protocol(imbalance_factor=imbalance))
    honest = partition(svhn_like()[0], Protocol(imbalance_factor=imbalance))
    assert torch.equal(found.train, honest.train)
    assert (found.labels == labels[found.train]).double().mean().item() == pytest.approx(correct, abs=5e-4)
    assert found.labels.unique().tolist() == list(range(digits))


def test_the_replica_has_no_balanced_form() -> None:
    with pytest.raises(UserError, match="replicates a long-tailed protocol; give one above 1"):
        partition(svhn_like(draw=misaligned_draw)[0], Protocol())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=8),
    st.floats(1.01, 50),
    st.integers(0, 99),
    st.sampled_from(["exp", "step"]),
)
def test_every_drawn_image_has_the_label_of_its_source(
    counts: list[int], imbalance: float, seed: int, shape: str
) -> None:
    labels = shuffled(counts, seed)
    nominal = profile(shape, len(labels) / len(counts), imbalance, len(counts))
    positions, given_labels = draw(labels, nominal, seed)
    assert torch.equal(given_labels, labels[positions])
    assert len(positions.unique()) == len(positions)
    assert torch.bincount(given_labels, minlength=len(counts)).tolist() == [
        min(n, c) for n, c in zip(nominal.tolist(), counts, strict=True)
    ]


@pytest.mark.parametrize(("classes", "largest"), [(10, 4500), (100, 450)])
def test_lt_val_holds_out_a_balanced_part_first(classes: int, largest: int) -> None:
    labels = shuffled([50000 // classes] * classes)
    found = partition(dataset(labels), Protocol(val_fraction=0.1, imbalance_factor=100))
    assert torch.bincount(labels[found.val]).tolist() == [5000 // classes] * classes
    assert found.nominal[0] == largest
    assert found.nominal.tolist() == profile("exp", largest, 100, classes).tolist()
    assert not set(found.val.tolist()) & set(found.train.tolist())
    assert torch.equal(found.labels, labels[found.train])


def test_a_tail_without_images_is_one_line() -> None:
    with pytest.raises(
        UserError, match=r"imbalance_factor: 200 leaves \d+ of 10 classes without images, first 'class \d'"
    ):
        partition(dataset(shuffled([100] * 10)), Protocol(imbalance_factor=200))


def test_a_tail_that_its_classes_do_not_have_is_one_line() -> None:
    with pytest.raises(UserError, match=r"wants 41 images of class 'class 0', which has 5: a long tail is drawn from"):
        partition(dataset(shuffled([5, 60, 60])), Protocol(imbalance_factor=10))
    assert len(partition(dataset(shuffled([58, 60, 61])), Protocol(imbalance_factor=10)).train) > 0


def test_classes_without_a_held_out_image_are_named() -> None:
    for counts, names in (([200, 200, 3], ["class 2"]), ([200, 200, 30], [])):
        data = dataset(shuffled(counts))
        assert unseen(data, partition(data, Protocol(val_fraction=0.1))) == names
        assert unseen(data, partition(data, Protocol(val_fraction=0))) == []


def test_an_official_validation_set_is_used_instead_of_a_hold_out() -> None:
    labels = shuffled([10] * 4)
    held = ImageSet(torch.zeros(3, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 1, 2]))
    found = partition(dataset(labels, val=held), Protocol(val_fraction=0.1))
    assert (len(found.train), len(found.val), found.official) == (40, 0, held)
    assert partition(dataset(labels, val=held), Protocol()).official is None


@pytest.mark.parametrize(
    ("shape", "sizes"), [("exp", [500, 340, 232, 158, 107, 73, 50]), ("step", [500] * 3 + [50] * 4)]
)
def test_a_tail_is_that_of_its_profile_and_seed(shape: str, sizes: list[int]) -> None:
    """As LDAM-DRW draws it, class by class, from one generator."""
    labels, expected, drawn = shuffled([500] * 7), list[int](), np.random.RandomState(4)
    for number, size in enumerate(sizes):
        members = np.where(labels.numpy() == number)[0]
        drawn.shuffle(members)
        expected += members[:size].tolist()
    assert partition(dataset(labels), Protocol(0.0, 0, 10.0, shape, 4)).train.tolist() == expected
