"""Focal loss against its formula, and near certainty."""

import pytest
import torch
from torch import Tensor

from headbench.heads import Head
from headbench.heads.focal import focal
from tests.heads.helpers import CONTEXT, batch, make, slow_linear

LEARNS = {"linear.weight", "linear.bias"}


def slow_focal(scores: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """The mean of -(1 - p)^gamma log p, sample by sample."""
    shares = [row.softmax(dim=0)[y] for row, y in zip(scores.double(), labels.tolist(), strict=True)]
    return torch.stack([-((1 - p) ** gamma) * p.log() for p in shares]).mean()


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores z; gamma = 1."""
    scores = slow_linear(head, features)
    return scores, slow_focal(scores, labels, 1.0)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 3.0])
def test_gamma(gamma: float) -> None:
    features, targets = batch(5, 8)
    head = make("focal", gamma=gamma)
    expected = slow_focal(slow_linear(head, features[0].detach()), targets.labels, gamma)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected.item(), rel=1e-5)


def test_gamma_of_zero_is_cross_entropy() -> None:
    features, targets = batch(5, 8)
    assert torch.allclose(
        make("focal", gamma=0.0).loss(features, targets, CONTEXT), make("psc").loss(features, targets, CONTEXT)
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 3.0])
def test_certainty_costs_nothing_and_has_a_finite_gradient(gamma: float) -> None:
    scores = torch.tensor([[200.0, 0.0], [17.0, 0.0], [0.0, 200.0]], requires_grad=True)
    loss = focal(scores, torch.tensor([0, 0, 1]), gamma)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-7)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
