"""Class-balanced re-weighting: cross-entropy weighted by the effective number of samples of the class."""

from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context, Options
from headbench.heads.class_counts import effective_number_weights, reweighting_begun
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.registry import register


@register(
    "cb-reweight",
    version=1,
    display="CB re-weighting",
    paper="Cui et al., CVPR 2019; deferred: Cao et al., NeurIPS 2019",
    source="softmax cross-entropy with class weights (1 - beta) / (1 - beta^n), as in the released code of Cao et al.: "
    "CB-RW in its table, deferred CE-DRW",
    deviations="the weighted mean is divided by the sum of the batch's weights, as there, not by the batch size, as "
    "with Cui et al.; deferred weights begin at 80 % of the stage's epochs, the code's epoch 160 of 200",
)
class CBReweightHead(LinearHead):
    """Linear softmax whose loss is the mean cross-entropy weighted by class.

    With mixup each label has its own weight.

    Args:
        info: facts of the data.
        feature_dim: d.
        beta: of the weights (1 - beta) / (1 - beta^n_c), scaled to the sum C; 0 weighs all alike.
        deferred: weigh in the last fifth of the epochs only (DRW).
        loss_scale: factor on the mean cross-entropy.
    """

    named = ("deferred",)
    class_weights: Tensor

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return beta, over the values of Cui et al."""
        return {"beta": trial.suggest_categorical("beta", [0.9, 0.99, 0.999, 0.9999])}

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        beta: Annotated[float, Field(ge=0, lt=1)] = 0.9999,
        deferred: bool = False,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.deferred = deferred
        self.register_buffer("class_weights", effective_number_weights(info, beta))

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the weighted mean cross-entropy of scores (N, C) and labels (N,)."""
        weighted = not self.deferred or reweighting_begun(context)
        return F.cross_entropy(scores, labels, weight=self.class_weights if weighted else None)
