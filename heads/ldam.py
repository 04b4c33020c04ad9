"""LDAM: a margin on the cosine of the own class, larger for rarer classes, and deferred re-weighting (DRW)."""

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Options
from headbench.heads.class_counts import effective_number_weights, ldam_margins, reweighting_begun
from headbench.heads.families.cosine_softmax import CosineHead
from headbench.heads.losses import label_margin, mixed
from headbench.heads.normalisation import unit
from headbench.heads.registry import register

BETA = 0.9999


@register(
    "ldam",
    version=1,
    display="LDAM",
    paper="Cao et al., NeurIPS 2019",
    source="label-distribution-aware margin loss as in their released code: margins n^(-1/4) up to 0.5 on cosines, "
    "scale 30, weights of unit length at the start; DRW by the effective number of samples with beta = 0.9999",
    deviations="DRW begins at 80 % of the stage's epochs, the code's epoch 160 of 200; logits carry the scale, which "
    "the code's do not; the paper speaks of weights 1/n, the code of the effective number",
)
class LDAMHead(CosineHead):
    """Softmax of s cos(h, w_c); the loss lowers the cosine of the own class by a margin proportional to n_y^(-1/4).

    With mixup each label has its own margin and weight.

    Args:
        info: facts of the data.
        feature_dim: d.
        scale: s, on all cosines.
        margin: the largest margin, that of the rarest class.
        drw: in the last fifth of the epochs weigh the samples by class, the mean being divided by the sum of their
            weights.
        loss_scale: factor on the mean cross-entropy.
    """

    named = ("drw",)
    margins: Tensor
    class_weights: Tensor

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return scale and margin, around the paper's 30 and 0.5."""
        return {
            "scale": trial.suggest_float("scale", 10.0, 60.0, log=True),
            "margin": trial.suggest_float("margin", 0.1, 0.8),
        }

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        scale: PositiveFloat = 30.0,
        margin: NonNegativeFloat = 0.5,
        drw: bool = True,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, scale=scale, learnable_scale=False, loss_scale=loss_scale)
        with torch.no_grad():
            self.weight.copy_(unit(self.weight))
        self.drw = drw
        self.register_buffer("margins", ldam_margins(info, margin))
        self.register_buffer("class_weights", effective_number_weights(info, BETA))

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean cross-entropy over views and samples of features (V, B, d)."""
        weights = self.class_weights if self.drw and reweighting_begun(context) else None

        def objective(cosines: Tensor, labels: Tensor) -> Tensor:
            return F.cross_entropy(self.scale * label_margin(cosines, labels, self.margins), labels, weight=weights)

        return self.loss_scale * mixed(objective, self.cosines(features), targets)
