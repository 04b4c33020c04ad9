"""PSC with cosine scores, as DL2PA's code has it: learnable weights, features and weights of unit length."""

from typing import Literal

from pydantic import PositiveFloat

from headbench.core.batch import DataInfo
from headbench.heads.families.cosine_softmax import CosineHead
from headbench.heads.losses import adacos_scale
from headbench.heads.registry import register


@register(
    "psc-cosine",
    version=1,
    display="PSC (cosine)",
    paper="the learnable baseline of Saadabadi et al., CVPR 2024",
    source="cross-entropy on cosines; scale 1 as in the released code, where the loss cannot fall below log(1 + (C-1) "
    "exp(-C/(C-1)))",
)
class PSCCosineHead(CosineHead):
    """Softmax of s cos(h, w_c) with learnable w (C, d).

    Args:
        info: facts of the data.
        feature_dim: d.
        scale: s, 1 as in DL2PA's code; 16 to 30 are usual elsewhere; ``adacos`` for sqrt(2) ln(C-1).
        learnable_scale: learn s, from ``scale`` on.
        loss_scale: factor on the mean cross-entropy.
    """

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        scale: PositiveFloat | Literal["adacos"] = 1.0,
        learnable_scale: bool = False,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        s = adacos_scale(info.num_classes) if isinstance(scale, str) else scale
        super().__init__(info, feature_dim, scale=s, learnable_scale=learnable_scale, loss_scale=loss_scale)
