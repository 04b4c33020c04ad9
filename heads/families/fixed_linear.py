"""What softmax heads with fixed weights share: logits of features that are not normalised."""

import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads.base import Context, Head
from headbench.heads.losses import cross_entropy, mixed


class FixedLinearHead(Head):
    """Logits W h + b, with W and b that are buffers and get no gradient; mean cross-entropy.

    Args:
        weight: W (C, d).
        bias: b (C,), or None for zero.
        loss_scale: factor on the mean cross-entropy.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None, loss_scale: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight.float())
        self.register_buffer("bias", torch.zeros(len(weight)) if bias is None else bias.float())
        self.loss_scale = loss_scale

    def prototypes(self) -> Tensor:
        """Return the weight rows (C, d), not normalised."""
        return self.weight

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to W h + b (..., C)."""
        return features @ self.weight.T + self.bias

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean cross-entropy over views and samples of features (V, B, d)."""
        return self.loss_scale * mixed(cross_entropy, self.logits(features), targets)
