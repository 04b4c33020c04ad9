"""What softmax heads on the hypersphere share: learnable unit rows, compared with unit features by the cosine, times a
scale s.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Head, RecipeView, Stage
from headbench.heads.losses import cross_entropy, mixed
from headbench.heads.normalisation import unit

# At zero the scores say nothing, and below it they would rank the classes the other way round.
LEAST_SCALE = 1e-6


class CosineHead(Head):
    """Logits s cos(h, w_c).

    Mean cross-entropy of s times the cosines, in which :meth:`with_margin` may change that of the own class.

    Args:
        info: facts of the data.
        feature_dim: d.
        scale: s.
        learnable_scale: learn s by gradient, without weight decay; it stays positive.
        loss_scale: factor on the mean cross-entropy.
    """

    directional = True
    scale: Tensor

    def __init__(
        self, info: DataInfo, feature_dim: int, *, scale: float, learnable_scale: bool, loss_scale: float
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(feature_dim, info.num_classes, bias=False).weight.detach())
        if learnable_scale:
            self.scale = nn.Parameter(torch.tensor(scale))
        else:
            self.register_buffer("scale", torch.tensor(scale))
        self.loss_scale = loss_scale

    @property
    def native_scale(self) -> float:
        """s, as it is now."""
        return self.scale.item()

    def parameter_groups(self, recipe: RecipeView, stage: Stage) -> Iterable[dict[str, Any]]:
        """Return the weight, and a learnable scale without weight decay."""
        groups: list[dict[str, Any]] = [{"params": [self.weight]}]
        return (
            [*groups, {"params": [self.scale], "weight_decay": 0.0}] if isinstance(self.scale, nn.Parameter) else groups
        )

    def prototypes(self) -> Tensor:
        """Return the unit weight rows (C, d)."""
        return unit(self.weight)

    def cosines(self, features: Tensor) -> Tensor:
        """Map features (..., d) to cosines (..., C) with the weight rows."""
        return unit(features) @ self.prototypes().T

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to s cos (..., C), without a margin."""
        return self.scale * self.cosines(features)

    @torch.no_grad()
    def after_step(self) -> None:
        """Keep a learnable scale positive."""
        if isinstance(self.scale, nn.Parameter):
            self.scale.clamp_(min=LEAST_SCALE)

    def with_margin(self, own: Tensor) -> Tensor:
        """Map the cosines with the own class (N, 1) to what the loss takes instead of them; here the same."""
        return own

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean cross-entropy over views and samples of features (V, B, d)."""

        def margin_loss(cosines: Tensor, labels: Tensor) -> Tensor:
            own = labels[:, None]
            return cross_entropy(self.scale * cosines.scatter(1, own, self.with_margin(cosines.gather(1, own))), labels)

        return self.loss_scale * mixed(margin_loss, self.cosines(features), targets)
