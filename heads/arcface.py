"""ArcFace: softmax of scaled cosines with a margin on the angle to the own class."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.families.cosine_softmax import CosineHead
from headbench.heads.registry import register

Angle = Annotated[float, Field(ge=0, lt=math.pi / 2)]


def penalised(own: Tensor, margin: float, easy: bool) -> Tensor:
    """Map cosines of the own class to cos(theta + m) where it falls as theta grows, and beyond, to what ``easy`` says.

    Args:
        own: cos(theta), any shape.
        margin: m in radians.
        easy: no margin where theta is above a right angle; else cos(theta) - 1 - cos(pi - m) where theta is above pi -
            m, which joins without a step.
    """
    turn = math.cos(math.pi - margin)
    # At theta = 0 the root has no gradient; the clamp gives it none.
    sine = (1 - own.square()).clamp(min=1e-12).sqrt()
    turned = own * math.cos(margin) - sine * math.sin(margin)
    return torch.where(own > 0, turned, own) if easy else torch.where(own > turn, turned, own - 1 - turn)


@register(
    "arcface",
    version=2,
    display="ArcFace",
    paper="Deng et al., CVPR 2019",
    source=(
        "additive angular margin loss (equation 3) with the paper's m = 0.5; the gradient is that of the authors' "
        "present code (insightface), which adds m to "
        "the angle without differentiating it; 'exact' is that of the equation and of earlier versions of the code"
    ),
    deviations=(
        "s = 30 instead of the 64 of face recognition; past pi - m the cosine goes on as cos(theta) - 1 - cos(pi - "
        "m), continuous and falling, where the "
        "authors' code has cos(theta) - m sin(m), with a step, or cos(theta + m), which rises again; easy_margin is "
        "in earlier versions of their code, "
        "switched off"
    ),
)
class ArcFaceHead(CosineHead):
    """Softmax of s cos(h, w_c); the loss adds m to the angle between a feature and its own class.

    With the exact gradient the own class pulls sin(theta + m) / sin(theta) as hard as without m while the others push
    as before, so that a training from scratch drifts to theta = pi - m; with the released one both keep their strength.
    See ``docs/heads-cifar100.md``.

    Args:
        info: facts of the data.
        feature_dim: d.
        scale: s, on all cosines.
        margin: m, on the angle, in radians.
        gradient: ``released``, the derivative of the own score by its cosine is s, or ``exact``, it is that of s
            cos(theta + m).
        easy_margin: add m to angles below 90 degrees only.
        loss_scale: factor on the mean cross-entropy.
    """

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        scale: PositiveFloat = 30.0,
        margin: Angle = 0.5,
        gradient: Literal["released", "exact"] = "released",
        easy_margin: bool = False,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, scale=scale, learnable_scale=False, loss_scale=loss_scale)
        self.margin, self.gradient, self.easy_margin = margin, gradient, easy_margin

    def with_margin(self, own: Tensor) -> Tensor:
        """Map cosines (N, 1) to those with the margin, see :func:`penalised`."""
        if self.gradient == "exact":
            return penalised(own, self.margin, self.easy_margin)
        value = own.detach()
        return own + (penalised(value, self.margin, self.easy_margin) - value)
