"""NormFace: the cosine softmax with a scale that learns."""

import torch

from tests.heads.helpers import CONTEXT, batch, make
from tests.heads.test_psc_cosine import reference

LEARNS = {"weight", "scale"}
__all__ = ["reference"]


def test_the_scale_learns_and_grows_where_all_is_right() -> None:
    head = make("normface")
    features, targets = batch(5, 8)
    weight = head.state_dict()["weight"]
    head.loss(weight[targets.labels][None] + 0 * features, targets, CONTEXT).backward()
    scale = dict(head.named_parameters())["scale"]
    assert scale.grad is not None
    assert scale.grad < 0
    assert torch.equal(scale.detach(), torch.tensor(16.0))
