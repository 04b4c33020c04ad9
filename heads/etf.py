"""ETF: a fixed simplex equiangular tight frame and the dot-regression loss."""

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat

from headbench.core.batch import DataInfo
from headbench.core.streams import generator
from headbench.heads.base import Options
from headbench.heads.families.fixed_prototypes import FixedPrototypeHead
from headbench.heads.geometry.codes import simplex
from headbench.heads.registry import register


@register(
    "etf",
    version=2,
    display="ETF + DR",
    paper="Yang et al., NeurIPS 2022",
    source="simplex ETF (its definition) and the dot-regression loss; batch_norm and batch_weights are those of the "
    "released code for long tails",
    deviations="both are off by default, since the balanced loss has neither; batch_weights come from the unmixed "
    "labels, as in the code; they are those of CIFAR, SVHN and STL-10: on ImageNet-LT the code does not bring features "
    "to unit length after batch normalisation, adds 0.01 of their mean length, and widens them to 4,096",
)
class ETFHead(FixedPrototypeHead):
    """A randomly rotated simplex M; loss E_y^2 (m_y . z - 1)^2 / 2 on unit features z; predicts the nearest vertex.

    Args:
        info: facts of the data.
        feature_dim: d >= C - 1.
        loss_scale: factor on the batch mean of the loss.
        loss: ``dot-regression``, or ``cross-entropy`` on the scaled cosines.
        batch_weights: E_c = sqrt((B/K)/n_c), the class weights of each batch, in the dot regression; without them 1.
        batch_norm: batch normalisation of the features before they are brought to unit length.
        prototype_seed: seed of the rotation, the same for all seeds of a grid, as for the other fixed heads.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return why d is too small: C equiangular vectors at -1/(C-1) need d >= C - 1."""
        needed = info.num_classes - 1
        if feature_dim < needed:
            return f"a simplex ETF of {info.num_classes} classes needs d >= {needed}"
        return super().supports(info, feature_dim, options)

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        loss_scale: PositiveFloat = 1.0,
        loss: Literal["dot-regression", "cross-entropy"] = "dot-regression",
        batch_weights: bool = False,
        batch_norm: bool = False,
        prototype_seed: NonNegativeInt = 0,
    ) -> None:
        gaussian = torch.randn(
            feature_dim, feature_dim, generator=generator(prototype_seed, "etf rotation"), dtype=torch.float64
        )
        frame = torch.from_numpy(simplex(info.num_classes, feature_dim)) @ torch.linalg.qr(gaussian).Q
        super().__init__(frame, loss_scale, objective=loss, batch_weights=batch_weights, batch_norm=batch_norm)
