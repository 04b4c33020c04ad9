"""PSC against its formula."""

import pytest
import torch
from torch import Tensor

from headbench.heads import Head
from tests.heads.helpers import CONTEXT, batch, make, slow_cross_entropy, slow_linear

LEARNS = {"linear.weight", "linear.bias"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits W h + b and mean cross-entropy in float64, entry by entry."""
    logits = slow_linear(head, features)
    return logits, slow_cross_entropy(logits, labels)


def test_uniform_scores_cost_log_c() -> None:
    head = make("psc", num_classes=7)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    features, targets = batch(7, 8)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(torch.log(torch.tensor(7.0)).item())


@pytest.mark.parametrize("smoothing", [0.1, 0.4])
def test_smoothed_labels(smoothing: float) -> None:
    features, targets = batch(5, 8)
    head = make("psc", label_smoothing=smoothing)
    expected = slow_cross_entropy(slow_linear(head, features[0].detach()), targets.labels, smoothing)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected.item(), rel=1e-5)
