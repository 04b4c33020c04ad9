"""PSC against its formula."""

import pytest
import torch
from torch import Tensor

from headbench.heads import Head
from tests.heads.helpers import CONTEXT, batch, make, slow_cross_entropy

LEARNS = {"linear.weight", "linear.bias"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits W h + b and mean cross-entropy in float64, entry by entry."""
    weight, bias = (value.double() for value in (head.state_dict()["linear.weight"], head.state_dict()["linear.bias"]))
    h = features.double()
    logits = torch.stack([torch.stack([(weight[c] * row).sum() + bias[c] for c in range(len(bias))]) for row in h])
    return logits, slow_cross_entropy(logits, labels)


def test_uniform_scores_cost_log_c() -> None:
    head = make("psc", num_classes=7)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    features, targets = batch(7, 8)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(torch.log(torch.tensor(7.0)).item())
