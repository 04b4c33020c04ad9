"""PSC, the parametric softmax classifier: a learnable linear layer and cross-entropy."""

from functools import partial
from typing import Annotated

from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Head
from headbench.heads.losses import cross_entropy, mixed
from headbench.heads.registry import register

Smoothing = Annotated[float, Field(ge=0, lt=1)]


@register(
    "psc",
    version=1,
    paper="the softmax baseline of Mettes et al., NeurIPS 2019",
    source="linear form: logits W h + b, no normalisation, no scale",
)
class PSCHead(Head):
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
        super().__init__()
        self.linear = nn.Linear(feature_dim, info.num_classes)
        self.label_smoothing, self.loss_scale = label_smoothing, loss_scale

    def prototypes(self) -> Tensor:
        """Return the weight rows (C, d), not normalised."""
        return self.linear.weight

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to W h + b (..., C)."""
        scores: Tensor = self.linear(features)
        return scores

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean cross-entropy over views and samples of features (V, B, d)."""
        return self.loss_scale * mixed(
            partial(cross_entropy, label_smoothing=self.label_smoothing), self.logits(features), targets
        )
