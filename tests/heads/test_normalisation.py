"""Unit rows: values as torch has them, and no gradient for a row that has no direction."""

import pytest
import torch
import torch.nn.functional as F

from headbench.heads import HEADS
from headbench.heads.normalisation import BatchNorm, unit
from tests.heads.helpers import CONTEXT, batch, make

COSINE_HEADS = ["arcface", "cosface", "dl2pa", "ebv", "etf", "hpn", "ldam", "normface", "psc-cosine", "word2vec"]


def test_rows_with_a_direction_are_torchs_bit_for_bit_and_so_are_their_gradients() -> None:
    rows = torch.randn(2, 50, 7, generator=torch.Generator().manual_seed(0)) * torch.logspace(-5, 5, 50)[None, :, None]
    weights = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    ours, theirs = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    found, expected = unit(ours), F.normalize(theirs, dim=-1, eps=1e-6)
    (found @ weights).square().sum().backward()
    (expected @ weights).square().sum().backward()
    assert torch.equal(found, expected)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-9])
def test_a_row_without_a_direction_gets_no_gradient_and_its_neighbours_theirs(length: float) -> None:
    rows = torch.tensor([[0.0, length, 0.0], [3.0, 0.0, 4.0]], requires_grad=True)
    unit(rows).sum().backward()
    assert rows.grad is not None
    assert torch.equal(rows.grad[0], torch.zeros(3))
    # The derivative of (x + y + z) / length at (3, 0, 4): (1 - own share) / 5.
    assert torch.allclose(rows.grad[1], torch.tensor([1 - 7 * 3 / 25, 1.0, 1 - 7 * 4 / 25]) / 5)


@pytest.mark.parametrize("name", COSINE_HEADS)
def test_a_feature_of_zeros_does_not_end_a_training(name: str) -> None:
    assert name in HEADS.names()
    head = make(name, num_classes=5, dim=6)
    features, targets = batch(5, 6)
    features = features.detach().clone()
    features[0, 3] = 0
    features.requires_grad_()
    head.loss(features, targets, CONTEXT).backward()
    assert features.grad is not None
    assert features.grad[0, 3].abs().max() <= features.grad.abs().max() < 100


def test_frozen_statistics_stay() -> None:
    norm = BatchNorm(3)
    norm.eval().observe(torch.randn(8, 3))
    assert norm.mean.tolist() == [0, 0, 0]
    norm.train().observe(torch.ones(8, 3))
    assert norm.mean.tolist() == pytest.approx([0.1] * 3)


def test_one_sample_is_normalised_by_what_was_seen_before_and_moves_nothing() -> None:
    norm, one = BatchNorm(3), torch.randn(1, 3)
    norm.observe(1 + 2 * torch.randn(50, 3))
    mean, variance = norm.mean.clone(), norm.variance.clone()
    norm.observe(one)
    assert torch.equal(norm.mean, mean)
    assert torch.equal(norm.variance, variance)
    assert norm.training
    assert torch.allclose(norm(one), F.batch_norm(one, mean, variance), atol=1e-6)
