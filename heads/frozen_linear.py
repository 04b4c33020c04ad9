"""The frozen linear classifier that the ETF repository compares with as if it were learnable."""

import torch
from pydantic import PositiveFloat
from torch import nn

from headbench.core.batch import DataInfo
from headbench.heads.families.fixed_linear import FixedLinearHead
from headbench.heads.registry import register


@register(
    "frozen-linear",
    version=1,
    display="Frozen linear",
    paper="the CE baseline of Yang et al., NeurIPS 2022, as released",
    source="a linear layer, weights N(0, 2/d), default bias, both without gradient: what the released code's baseline "
    "for ResNet is",
)
class FrozenLinearHead(FixedLinearHead):
    """Logits W h + b with random W ~ N(0, 2/d) and b that never learn; mean cross-entropy.

    Args:
        info: facts of the data.
        feature_dim: d.
        loss_scale: factor on the mean cross-entropy.
    """

    def __init__(self, info: DataInfo, feature_dim: int, *, loss_scale: PositiveFloat = 1.0) -> None:
        bias = nn.Linear(feature_dim, info.num_classes).bias.detach()
        super().__init__(nn.init.kaiming_normal_(torch.empty(info.num_classes, feature_dim)), bias, loss_scale)
