"""PSC, the parametric softmax classifier: a learnable linear layer and cross-entropy."""

from typing import Annotated

from pydantic import Field, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.losses import cross_entropy
from headbench.heads.registry import register

Smoothing = Annotated[float, Field(ge=0, lt=1)]


@register(
    "psc",
    version=1,
    display="PSC",
    paper="the softmax baseline of Mettes et al., NeurIPS 2019",
    source="linear form: logits W h + b, no normalisation, no scale",
)
class PSCHead(LinearHead):
    """Linear softmax: logits W h + b with learnable W (C, d) and b (C,), mean cross-entropy.

    Args:
        info: facts of the data.
        feature_dim: d.
        label_smoothing: part of the target that is spread over all classes.
        loss_scale: factor on the mean cross-entropy.
    """

    def __init__(
        self, info: DataInfo, feature_dim: int, *, label_smoothing: Smoothing = 0.0, loss_scale: PositiveFloat = 1.0
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.label_smoothing = label_smoothing

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean cross-entropy of scores (N, C) and labels (N,)."""
        return cross_entropy(scores, labels, label_smoothing=self.label_smoothing)
