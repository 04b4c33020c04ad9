"""CosFace: softmax of scaled cosines with a margin on the cosine of the own class."""

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.families.cosine_softmax import CosineHead
from headbench.heads.registry import register


@register(
    "cosface",
    version=1,
    display="CosFace",
    paper="Wang et al., CVPR 2018",
    source="large margin cosine loss (equation 4) with the paper's m = 0.35",
    deviations="s = 30 instead of the 64 of face recognition, which is for tens of thousands of classes",
)
class CosFaceHead(CosineHead):
    """Softmax of s cos(h, w_c); the loss lowers the cosine of the own class by m.

    Args:
        info: facts of the data.
        feature_dim: d.
        scale: s, on all cosines.
        margin: m, on the cosine.
        loss_scale: factor on the mean cross-entropy.
    """

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        scale: PositiveFloat = 30.0,
        margin: NonNegativeFloat = 0.35,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, scale=scale, learnable_scale=False, loss_scale=loss_scale)
        self.margin = margin

    def with_margin(self, own: Tensor) -> Tensor:
        """Map cosines (N, 1) to cos - m."""
        return own - self.margin
