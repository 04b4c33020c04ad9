"""ArcFace: softmax of scaled cosines with a margin on the angle to the own class."""

import math
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from core.batch import DataInfo
from heads.cosine import CosineHead
from heads.registry import register

Angle = Annotated[float, Field(ge=0, lt=math.pi / 2)]


@register(
    "arcface",
    version=1,
    paper="Deng et al., CVPR 2019",
    source="additive angular margin loss (equation 3) with the paper's m = 0.5",
    deviations="s = 30 instead of the 64 of face recognition; past pi - m the cosine goes on as cos(theta) - 1 - cos(pi - m), continuous and falling",
)
class ArcFaceHead(CosineHead):
    """Softmax of s cos(h, w_c); the loss adds m to the angle between a feature and its own class.

    The own class pulls sin(theta + m) / sin(theta) as hard as without m, the others push as before: from scratch on CIFAR-100 all features drift to
    theta = pi - m and learn slowly from there, see ``docs/heads-cifar100.md``.

    Args:
        info: facts of the data.
        feature_dim: d.
        scale: s, on all cosines.
        margin: m, on the angle, in radians.
        loss_scale: factor on the mean cross-entropy.
    """

    def __init__(self, info: DataInfo, feature_dim: int, *, scale: PositiveFloat = 30.0, margin: Angle = 0.5, loss_scale: PositiveFloat = 1.0) -> None:
        super().__init__(info, feature_dim, scale=scale, learnable_scale=False, loss_scale=loss_scale)
        self.margin = margin

    def with_margin(self, own: Tensor) -> Tensor:
        """Map cosines (N, 1) to cos(theta + m) while theta + m <= pi; beyond, to a continuation that keeps falling as theta grows."""
        turn = math.cos(math.pi - self.margin)
        # At theta = 0 the root has no gradient; the clamp gives it none.
        sine = (1 - own.square()).clamp(min=1e-12).sqrt()
        return torch.where(own > turn, own * math.cos(self.margin) - sine * math.sin(self.margin), own - 1 - turn)
