"""Logit adjustment: the class prior enters the loss, or leaves the scores of a plain softmax."""

from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context, Options
from headbench.heads.choosing import best
from headbench.heads.class_counts import log_prior
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.losses import cross_entropy
from headbench.heads.registry import register

# Of which one is chosen on validation.
TAUS = tuple(step / 10 for step in range(31))


@register(
    "logit-adjusted",
    version=1,
    display="Logit adjustment",
    paper="Menon et al., ICLR 2021",
    source="logit-adjusted softmax cross-entropy (equation 10) and post-hoc adjustment (equation 9), tau = 1 as in "
    "their released code",
    deviations="post-hoc takes tau log pi off, where the code takes log(pi^tau + 1e-12); a class without images "
    "counts as if it had one; the tuned tau is that of 0, 0.1, ..., 3 with the best mean accuracy of a class on "
    "validation, the least of several; of post-hoc best_val, like best_test, is the best epoch by the given tau, or by "
    "1 until it is chosen",
)
class LogitAdjustedHead(LinearHead):
    """Linear softmax adjusted by tau log pi, with pi the share of each class in training.

    Args:
        info: facts of the data.
        feature_dim: d.
        form: ``loss``, cross-entropy of z + tau log pi and prediction by z; or ``post-hoc``, cross-entropy of z and
            prediction by z - tau log pi.
        tau: factor on the log prior; None chooses it on validation after training, post-hoc only, and is 1 until then.
        loss_scale: factor on the mean cross-entropy.
    """

    named = ("form",)
    log_prior: Tensor
    tau: Tensor

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return why tau cannot be chosen, or None."""
        if options["tau"] is not None:
            return None
        if options["form"] == "loss":
            return "in the loss tau must be a number (paper: 1); only form: post-hoc chooses it on validation"
        if not info.val_size:
            return "tau is chosen on validation, and there is none; set val_fraction, or give tau (paper: 1)"
        return None

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return tau, around the 1 of the theory; nothing where it is chosen on validation anyway."""
        return {} if options["tau"] is None else {"tau": trial.suggest_float("tau", 0.25, 3.0)}

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        form: Literal["loss", "post-hoc"] = "loss",
        tau: NonNegativeFloat | None = 1.0,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.in_loss, self.tuned = form == "loss", tau is None
        self.register_buffer("log_prior", log_prior(info))
        self.register_buffer("tau", torch.tensor(1.0 if tau is None else tau))

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to z = W h + b (..., C), post-hoc to z - tau log pi."""
        scores = super().logits(features)
        return scores if self.in_loss else scores - self.tau * self.log_prior

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean cross-entropy of scores (N, C), in the loss form + tau log pi, and labels (N,)."""
        return cross_entropy(scores + self.tau * self.log_prior if self.in_loss else scores, labels)

    @torch.no_grad()
    def finalize(self, context: Context) -> dict[str, float]:
        """Choose tau on validation where it is not given."""
        if not self.tuned:
            return {}
        features, labels, _ = context.collect("val", "plain")
        scores = self.linear(features)
        tau = best(TAUS, lambda tau: scores - tau * self.log_prior, labels)
        self.tau.fill_(tau)
        return {"tau": tau}
