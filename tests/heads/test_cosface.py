"""CosFace against its formula."""

import torch
from torch import Tensor

from headbench.heads import Head
from tests.heads.helpers import CONTEXT, batch, make, slow_cosines, slow_cross_entropy

SCALE, MARGIN = 30.0, 0.35


LEARNS = {"weight"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits s cos; the loss takes s (cos - m) for the own class."""
    cosines = slow_cosines(head.state_dict()["weight"], features)
    lowered = cosines.clone()
    for i, y in enumerate(labels.tolist()):
        lowered[i, y] -= MARGIN
    return SCALE * cosines, slow_cross_entropy(SCALE * lowered, labels)


def test_without_a_margin_it_is_the_cosine_softmax() -> None:
    features, targets = batch(5, 8)
    plain, margin = make("psc-cosine", scale=SCALE), make("cosface", margin=0.0)
    assert torch.allclose(plain.loss(features, targets, CONTEXT), margin.loss(features, targets, CONTEXT))
    assert make("cosface").loss(features, targets, CONTEXT) > margin.loss(features, targets, CONTEXT)
