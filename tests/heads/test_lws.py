"""LWS: one factor per class on the scores of PSC."""

import torch
from torch import Tensor

from headbench.heads import Head
from tests.heads import test_psc
from tests.heads.helpers import CONTEXT, batch, make, slow_cross_entropy

LEARNS = {"linear.weight", "linear.bias", "scale"}
BIASES = {"scale"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The scores of PSC, bias included, times the factor of each class, one by one."""
    plain, _ = test_psc.reference(head, features, labels)
    scale = head.state_dict()["scale"].double()
    logits = torch.stack([torch.stack([scale[c] * row[c] for c in range(len(scale))]) for row in plain])
    return logits, slow_cross_entropy(logits, labels)


def scaled(*factors: float) -> Head:
    head = make("lws", num_classes=len(factors))
    head.load_state_dict(head.state_dict() | {"scale": torch.tensor(factors)})
    return head


def test_at_first_it_is_psc() -> None:
    features, targets = batch(5, 8)
    lws, psc = make("lws"), make("psc")
    assert torch.equal(lws.logits(features[0]), psc.logits(features[0]))
    assert torch.equal(lws.loss(features, targets, CONTEXT), psc.loss(features, targets, CONTEXT))


def test_factors_multiply_scores_and_prototypes() -> None:
    features, targets = batch(3, 8)
    head = scaled(2.0, 0.5, -1.0)
    expected, loss = reference(head, features[0].detach(), targets.labels)
    assert torch.allclose(head.logits(features[0]).double(), expected, atol=1e-6)
    assert torch.allclose(head.loss(features, targets, CONTEXT).double(), loss, atol=1e-6)
    prototypes = head.prototypes()
    assert prototypes is not None
    bias = head.state_dict()["linear.bias"] * head.state_dict()["scale"]
    assert torch.allclose(features[0] @ prototypes.T + bias, head.logits(features[0]), atol=1e-6)
