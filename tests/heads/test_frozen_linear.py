"""The frozen linear classifier: softmax whose weights never learn."""

import torch
from torch import Tensor

from headbench.heads import Head
from tests.heads.helpers import make, slow_cross_entropy


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits W h + b and mean cross-entropy in float64; also of the heads with other fixed weights."""
    weight, bias = head.state_dict()["weight"].double(), head.state_dict()["bias"].double()
    logits = torch.stack(
        [torch.stack([(w * row).sum() + b for w, b in zip(weight, bias, strict=True)]) for row in features.double()]
    )
    return logits, slow_cross_entropy(logits, labels)


def test_nothing_learns_and_the_weights_are_as_the_code_draws_them() -> None:
    head = make("frozen-linear", num_classes=400, dim=50)
    assert not list(head.parameters())
    weight = head.state_dict()["weight"]
    assert torch.allclose(weight.var(), torch.tensor(2 / 50), rtol=0.05)
    bias = head.state_dict()["bias"]
    assert bias.abs().max() <= 50**-0.5, "torch's own of a linear layer: uniform within 1 / sqrt(d)"
    assert torch.allclose(bias.var(), torch.tensor(1 / (3 * 50)), rtol=0.2)
    assert not torch.equal(weight, make("frozen-linear", num_classes=400, dim=50, seed=1).state_dict()["weight"])
