"""Margins and weights from class counts, against the counts of long-tailed CIFAR."""

import pytest
import torch

from headbench.core.batch import DataInfo
from headbench.heads.class_counts import effective_number_weights, ldam_margins, log_prior

# Long-tailed CIFAR-10 at imbalance factor 100.
CIFAR10 = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


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
    # The ratio that the authors' code gives at this imbalance.
    assert weights[-1] / weights[0] == pytest.approx(78.89, abs=0.01)
    assert effective_number_weights(info(CIFAR10), 0.0).tolist() == [1.0] * 10


def test_margins() -> None:
    margins = ldam_margins(info(CIFAR10), 0.5)
    assert margins[-1] == 0.5
    assert margins[0] == pytest.approx(0.1581, abs=1e-4)
    assert ldam_margins(info([7, 7, 7]), 0.5).tolist() == [0.5] * 3
