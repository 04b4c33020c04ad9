"""ETF: a fixed simplex equiangular tight frame and the dot-regression loss."""

from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from core.batch import DataInfo, Targets
from core.random import generator
from heads.base import Context
from heads.codes import simplex
from heads.fixed import FixedPrototypeHead, unit
from heads.losses import dot_regression, mixed
from heads.registry import register


@register(
    "etf",
    version=2,
    paper="Yang et al., NeurIPS 2022",
    source="simplex ETF (its definition) and the dot-regression loss with E_W = E_H = 1",
    deviations="the released code's batch normalisation before the head and its class weights per batch are left out, since the balanced loss has neither",
)
class ETFHead(FixedPrototypeHead):
    """A randomly rotated simplex; loss (w_y . z - 1)^2 / 2 on unit features z; predicts the nearest vertex.

    Args:
        info: facts of the data.
        feature_dim: d >= C - 1.
        loss_scale: factor on the batch mean of the loss.
        prototype_seed: seed of the rotation, the same for all seeds of a grid, as for the other fixed heads.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, **hyperparameters: Any) -> str | None:
        """Return why d is too small: C equiangular vectors at -1/(C-1) need d >= C - 1."""
        needed = info.num_classes - 1
        return None if feature_dim >= needed else f"a simplex ETF of {info.num_classes} classes needs d >= {needed}"

    def __init__(self, info: DataInfo, feature_dim: int, *, loss_scale: PositiveFloat = 1.0, prototype_seed: NonNegativeInt = 0) -> None:
        gaussian = torch.randn(feature_dim, feature_dim, generator=generator(prototype_seed, "etf rotation"), dtype=torch.float64)
        rotation = torch.linalg.qr(gaussian).Q
        super().__init__(torch.from_numpy(simplex(info.num_classes, feature_dim)) @ rotation, loss_scale)

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean (w_y . z - 1)^2 / 2 over views and samples of features (V, B, d)."""
        return self.loss_scale * mixed(lambda z, labels: dot_regression(z, self.bank, labels), unit(features), targets)
