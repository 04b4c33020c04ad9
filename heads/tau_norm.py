"""tau-normalisation: a softmax whose weight rows are divided by a power of their lengths after training."""

from typing import Annotated

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context, Options
from headbench.heads.choosing import best
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.registry import register

TAUS = tuple(step / 10 for step in range(21))
# No row of weights is shorter, so that each has a direction.
SHORTEST = 1e-12


def normalised(weight: Tensor, tau: float) -> Tensor:
    """Return the rows w / |w|^tau of weights (C, d)."""
    rows: Tensor = weight / weight.norm(dim=1, keepdim=True).clamp(min=SHORTEST) ** tau
    return rows


def best_tau(weight: Tensor, features: Tensor, labels: Tensor) -> float:
    """Return the tau of :data:`TAUS`, the least of several, at which the rows w / |w|^tau of weights (C, d) give
    features (N, d) their labels (N,) best: by the accuracy of each class, averaged over those that occur.
    """
    return best(TAUS, lambda tau: features @ normalised(weight, tau).T, labels)


@register(
    "tau-norm",
    version=1,
    paper="Kang et al., ICLR 2020 (tau-normalised classifier)",
    source="section 4 of the paper and its released code: w_c / |w_c|^tau without the bias, tau = 0, 0.1, ..., 2",
    deviations=(
        "tau is the one with the best mean accuracy of a class on validation, the least of several (the released code "
        "prints all; its authors took the validation part of ImageNet-LT, and the test images of iNaturalist); "
        "best_val, like best_test, is the best epoch of the plain softmax, whose rows are normalised afterwards"
    ),
)
class TauNormHead(LinearHead):
    """Linear softmax that after training has weight rows w_c / |w_c|^tau and no bias.

    Args:
        info: facts of the data.
        feature_dim: d.
        tau: 0 keeps the rows as they are, 1 gives all the same length; None chooses on validation.
        loss_scale: factor on the mean cross-entropy.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that there is nothing to choose tau on, or None."""
        if options["tau"] is None and not info.val_size:
            return "tau is chosen on validation, and there is none; set val_fraction, or give tau (paper: 0.7)"
        return None

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        tau: Annotated[float, Field(ge=0)] | None = None,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.tau = tau

    @torch.no_grad()
    def finalize(self, context: Context) -> dict[str, float]:
        """Choose tau on validation where it is not given, normalise the weights, and drop the bias."""
        weight, bias = self.linear.weight, self.linear.bias
        tau = self.tau
        if tau is None:
            features, labels, _ = context.collect("val", "plain")
            tau = best_tau(weight, features, labels)
        weight.copy_(normalised(weight, tau))
        bias.zero_()
        return {"tau": tau}
