"""NormFace: softmax of scaled cosines with a learnable scale."""

from pydantic import PositiveFloat

from headbench.core.batch import DataInfo
from headbench.heads.families.cosine_softmax import CosineHead
from headbench.heads.registry import register


@register(
    "normface",
    version=1,
    display="NormFace",
    paper="Wang et al., ACM MM 2017",
    source="softmax loss on normalised features and weights with a learned scale (section 3.3)",
    deviations="the scale starts at 16, since the paper leaves its start to its fine-tuning",
)
class NormFaceHead(CosineHead):
    """Softmax of s cos(h, w_c) with learnable w (C, d) and s.

    Args:
        info: facts of the data.
        feature_dim: d.
        scale: s at the start.
        loss_scale: factor on the mean cross-entropy.
    """

    def __init__(
        self, info: DataInfo, feature_dim: int, *, scale: PositiveFloat = 16.0, loss_scale: PositiveFloat = 1.0
    ) -> None:
        super().__init__(info, feature_dim, scale=scale, learnable_scale=True, loss_scale=loss_scale)
