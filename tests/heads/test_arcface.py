"""ArcFace against its formula, with angles."""

import math

import pytest
import torch
from torch import Tensor

from core.batch import Targets
from heads import Head
from heads.arcface import ArcFaceHead
from tests.heads.helpers import CONTEXT, batch, make, slow_cosines, slow_cross_entropy

SCALE, MARGIN = 30.0, 0.5


def penalised(cosine: float, margin: float = MARGIN) -> float:
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    return math.cos(angle + margin) if angle + margin <= math.pi else cosine - 1 - math.cos(math.pi - margin)


LEARNS = {"weight"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits s cos(theta); the loss takes s cos(theta + m) for the own class."""
    cosines = slow_cosines(head.state_dict()["weight"], features)
    turned = cosines.clone()
    for i, y in enumerate(labels.tolist()):
        turned[i, y] = penalised(float(cosines[i, y]))
    return SCALE * cosines, slow_cross_entropy(SCALE * turned, labels)


@pytest.mark.parametrize("margin", [0.0, 0.2, 0.5, 1.2])
def test_the_penalty_is_continuous_and_rises_with_the_cosine(margin: float) -> None:
    head = make("arcface", margin=margin)
    assert isinstance(head, ArcFaceHead)
    cosines = torch.linspace(-0.9999, 0.9999, 4001, dtype=torch.float64)[:, None]
    found = head.with_margin(cosines)[:, 0]
    assert torch.allclose(found, torch.tensor([penalised(float(c), margin) for c in cosines], dtype=torch.float64), atol=1e-9)
    assert (found.diff() > 0).all()
    assert found.diff().max() < 0.1


def test_gradients_stay_finite_at_both_poles() -> None:
    head = make("arcface")
    weight, labels = head.state_dict()["weight"], torch.arange(5)
    for sign in (1, -1):
        features = (sign * weight[None]).requires_grad_()
        head.loss(features, Targets.plain(labels, labels), CONTEXT).backward()
        assert features.grad is not None
        assert torch.isfinite(features.grad).all()


def test_without_a_margin_it_is_the_cosine_softmax() -> None:
    features, targets = batch(5, 8)
    assert torch.allclose(
        make("psc-cosine", scale=SCALE).loss(features, targets, CONTEXT), make("arcface", margin=0.0).loss(features, targets, CONTEXT), atol=1e-5
    )
