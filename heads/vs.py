"""VS, the vector-scaling loss: logits are scaled and shifted by class, in training only."""

from typing import Any

from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context, Options
from headbench.heads.class_counts import log_prior, relative_factors
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.losses import cross_entropy
from headbench.heads.registry import register


@register(
    "vs",
    version=1,
    display="VS",
    paper="Kini et al., NeurIPS 2021",
    source="vector-scaling loss as in their released code: cross-entropy of Delta_c z_c + tau log pi_c "
    "with Delta_c = (n_c / n_max)^gamma; prediction by z",
    deviations="gamma = 0.2 and tau = 1.2 are those of the README's command for CIFAR-10 at imbalance factor 100 (the "
    "script's own are 0.3 and 1; the paper tunes both); a class without images counts as if it had one",
)
class VSHead(LinearHead):
    """Linear softmax whose loss is the mean cross-entropy of Delta_c z_c + tau log pi_c.

    With gamma = 0 it is that of logit adjustment, with tau = 0 that of class-dependent temperatures (CDT), with both
    plain cross-entropy.

    Args:
        info: facts of the data.
        feature_dim: d.
        gamma: exponent of Delta_c = (n_c / n_max)^gamma.
        tau: factor on the log prior.
        loss_scale: factor on the mean cross-entropy.
    """

    factor: Tensor
    shift: Tensor

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return both options, over what papers try on long tails."""
        return {"gamma": trial.suggest_float("gamma", 0.0, 0.4), "tau": trial.suggest_float("tau", 0.0, 2.0)}

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        gamma: NonNegativeFloat = 0.2,
        tau: NonNegativeFloat = 1.2,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.register_buffer("factor", relative_factors(info, gamma))
        self.register_buffer("shift", tau * log_prior(info))

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean cross-entropy of Delta scores + tau log pi (N, C) and labels (N,)."""
        return cross_entropy(self.factor * scores + self.shift, labels)
