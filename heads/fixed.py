"""What heads with fixed prototypes share: the buffer, the cosine scores and the squared cosine loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.batch import Targets
from heads.base import Context, Head
from heads.losses import confidence_scale, mixed, squared_cosine


def unit(x: Tensor) -> Tensor:
    """Return x (..., d) with unit rows; lengths below 1e-6 are taken as 1e-6, so that a zero row keeps a bounded gradient."""
    return F.normalize(x, dim=-1, eps=1e-6)


class FixedPrototypeHead(Head):
    """Cosine scores against prototypes that are a buffer and get no gradient.

    Args:
        prototypes: (C, d) float64 with unit rows.
        loss_scale: factor on the batch mean of the loss.
    """

    bank: Tensor

    def __init__(self, prototypes: Tensor, loss_scale: float) -> None:
        super().__init__()
        self.register_buffer("bank", prototypes.to(torch.float32))
        self.loss_scale = loss_scale
        self.native_scale = confidence_scale(len(prototypes))

    def prototypes(self) -> Tensor:
        """Return the prototypes (C, d) in class order."""
        return self.bank

    def cosines(self, features: Tensor) -> Tensor:
        """Map features (..., d) to cosines (..., C) with the prototypes."""
        return unit(features) @ self.prototypes().T

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to scaled cosines (..., C)."""
        return self.native_scale * self.cosines(features)

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean (1 - cos(z, p_y))^2 over views and samples of features (V, B, d)."""
        return self.loss_scale * mixed(squared_cosine, self.cosines(features), targets)
