"""Margins and weights from class counts, against the counts of long-tailed CIFAR."""

import pytest
import torch

from headbench.core.batch import DataInfo
from headbench.heads import Context
from headbench.heads.class_counts import (
    effective_number_weights,
    ldam_margins,
    log_prior,
    relative_factors,
    reweighting_begun,
)

# Long-tailed CIFAR at imbalance factor 100.
CIFAR10 = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
CIFAR100 = [int(500 * 0.01 ** (c / 99)) for c in range(100)]


def info(counts: list[int]) -> DataInfo:
    names = tuple(map(str, range(len(counts))))
    return DataInfo(len(counts), torch.tensor(counts), names, sum(counts), (3, 32, 32), torch.Generator())


def test_log_prior() -> None:
    prior = log_prior(info(CIFAR10))
    assert prior.exp().sum() == pytest.approx(1, abs=1e-6)
    assert (prior[0] - prior[-1]).exp() == pytest.approx(100, rel=1e-5)
    assert torch.isfinite(log_prior(info([5, 0, 2]))).all()


def test_weights_by_effective_number() -> None:
    weights = effective_number_weights(info(CIFAR10), 0.9999)
    assert weights.sum() == pytest.approx(10, rel=1e-5)
    slow = [(1 - 0.9999) / (1 - 0.9999**n) for n in CIFAR10]
    assert weights.tolist() == pytest.approx([10 * w / sum(slow) for w in slow], rel=1e-5)
    # The ratios that the authors' code gives at this imbalance.
    assert weights[-1] / weights[0] == pytest.approx(78.89, abs=0.01)
    hundred = effective_number_weights(info(CIFAR100), 0.9999)
    assert hundred[-1] / hundred[0] == pytest.approx(97.57, abs=0.01)
    assert effective_number_weights(info(CIFAR10), 0.0).tolist() == [1.0] * 10


def test_margins() -> None:
    margins = ldam_margins(info(CIFAR10), 0.5)
    assert margins[-1] == 0.5
    assert margins[0] == pytest.approx(0.1581, abs=1e-4)
    assert ldam_margins(info([7, 7, 7]), 0.5).tolist() == [0.5] * 3


def test_a_class_without_images_leaves_the_margins_of_the_others_as_they_are() -> None:
    margins = ldam_margins(info([*CIFAR10, 0]), 0.5)
    assert torch.equal(margins[:-1], ldam_margins(info(CIFAR10), 0.5))
    assert margins[-1] == 0.5


def test_relative_factors() -> None:
    factors = relative_factors(info(CIFAR10), 0.5)
    assert factors.tolist() == pytest.approx([(n / 5000) ** 0.5 for n in CIFAR10], rel=1e-6)
    assert relative_factors(info([4, 0]), 1.0).tolist() == [1.0, 0.25]
    assert relative_factors(info(CIFAR10), 0.0).tolist() == [1.0] * 10


@pytest.mark.parametrize(("epochs", "first"), [(200, 160), (50, 40), (5, 4), (7, 5), (4, 3), (1, 0)])
def test_reweighting_begins_with_the_last_fifth(epochs: int, first: int) -> None:
    begun = [reweighting_begun(Context("train", epoch, epochs)) for epoch in range(epochs)]
    assert begun == [epoch >= first for epoch in range(epochs)]
