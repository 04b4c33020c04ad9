"""Logit adjustment: the class prior enters the loss, or leaves the scores of a plain softmax."""

from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context, Options
from headbench.heads.class_counts import log_prior
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.losses import cross_entropy
from headbench.heads.registry import register


@register(
    "logit-adjusted",
    version=1,
    paper="Menon et al., ICLR 2021",
    source="logit-adjusted softmax cross-entropy (equation 10) and post-hoc adjustment (equation 9), tau = 1 as in "
    "their released code",
    deviations="post-hoc takes tau log pi off, where the code takes log(pi^tau + 1e-12); a class without images "
    "counts as if it had one; tau is an option and is not tuned on held-out data, as the paper's tau* is",
)
class LogitAdjustedHead(LinearHead):
    """Linear softmax adjusted by tau log pi, with pi the share of each class in training.

    Args:
        info: facts of the data.
        feature_dim: d.
        form: ``loss``, cross-entropy of z + tau log pi and prediction by z; or ``post-hoc``, cross-entropy of z and
            prediction by z - tau log pi.
        tau: factor on the log prior.
        loss_scale: factor on the mean cross-entropy.
    """

    named = ("form",)
    adjustment: Tensor

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return tau, around the 1 of the theory."""
        return {"tau": trial.suggest_float("tau", 0.25, 3.0)}

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        form: Literal["loss", "post-hoc"] = "loss",
        tau: NonNegativeFloat = 1.0,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.in_loss = form == "loss"
        self.register_buffer("adjustment", tau * log_prior(info))

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to z = W h + b (..., C), post-hoc to z - tau log pi."""
        scores = super().logits(features)
        return scores if self.in_loss else scores - self.adjustment

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean cross-entropy of scores (N, C), in the loss form + tau log pi, and labels (N,)."""
        return cross_entropy(scores + self.adjustment if self.in_loss else scores, labels)
