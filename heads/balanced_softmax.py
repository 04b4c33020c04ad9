"""Balanced softmax: cross-entropy of logits to which the class counts are added, in training only."""

from pydantic import PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context
from headbench.heads.class_counts import log_prior
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.losses import cross_entropy
from headbench.heads.registry import register


@register(
    "balanced-softmax",
    version=1,
    display="Balanced Softmax",
    paper="Ren et al., NeurIPS 2020",
    source="the loss of their released code: cross-entropy of z + log n; prediction by z",
    deviations="log pi stands for log n, a constant that the softmax does not see; a class without images counts as "
    "if it had one; of their method the loss alone, without the meta sampler",
)
class BalancedSoftmaxHead(LinearHead):
    """Linear softmax whose loss is the mean cross-entropy of z + log pi, with pi the share of each class in training.

    Args:
        info: facts of the data.
        feature_dim: d.
        loss_scale: factor on the mean cross-entropy.
    """

    log_prior: Tensor

    def __init__(self, info: DataInfo, feature_dim: int, *, loss_scale: PositiveFloat = 1.0) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.register_buffer("log_prior", log_prior(info))

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean cross-entropy of scores + log pi (N, C) and labels (N,)."""
        return cross_entropy(scores + self.log_prior, labels)
