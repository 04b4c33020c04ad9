"""CMF, the class-mean features classifier: a softmax whose class vectors are running means of the features."""

import math
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Head, Options
from headbench.heads.families.class_sums import class_sums, directions
from headbench.heads.losses import cross_entropy, mixed
from headbench.heads.normalisation import unit
from headbench.heads.registry import register

Momentum = Annotated[float, Field(ge=0, lt=1)]


@register(
    "cmf",
    version=1,
    paper="Jiang et al., ICML 2024 (generalized neural collapse)",
    source="the classifier of the authors' code: from zero, w_c <- normalise(m w_c + (1 - m) mean of the unit features "
    "of c in the batch), and cross-entropy on s cos; m = 0.9 as in its logged runs",
    deviations="the code adds up where it speaks of averaging, so that m fades with the number of a class's samples: "
    "2.5 in its runs, but of 45 in a batch hardly anything is left of the mean before, and the features chase it; "
    "s follows the rule of AdaCos (Zhang et al., CVPR 2019), where the logged runs have 10 and the README 7 "
    "for 100 classes; only the classes of a batch move, where the code also normalises the others again, which changes "
    "rounding alone; under mixup mixed features count for the unmixed label",
)
class CMFHead(Head):
    """Softmax of s cos(h, w_c) with w_c the running mean direction of class c; only the features learn.

    A class that was never seen has w_c = 0.

    Args:
        info: facts of the data.
        feature_dim: d.
        scale: s, or None for sqrt(2) ln(C - 1), at least 1: 3.1 for 10 classes, 6.5 for 100. Too large a scale lets the
            means of classes that overlap crowd together, since small angles are then enough.
        momentum: m of the class vectors.
        loss_scale: factor on the mean cross-entropy.
    """

    weight: Tensor

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return scale and momentum."""
        return {
            "scale": trial.suggest_float("scale", 2.0, 32.0, log=True),
            "momentum": trial.suggest_float("momentum", 0.1, 0.99),
        }

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        scale: PositiveFloat | None = None,
        momentum: Momentum = 0.9,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        self.scale = max(1.0, math.sqrt(2) * math.log(info.num_classes - 1)) if scale is None else scale
        self.momentum, self.loss_scale = momentum, loss_scale
        self.register_buffer("weight", torch.zeros(info.num_classes, feature_dim))

    @property
    def native_scale(self) -> float:
        """The scale s of the logits."""
        return self.scale

    def prototypes(self) -> Tensor:
        """Return the mean directions (C, d)."""
        return self.weight

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Move the mean direction of every class in the batch."""
        sums, counts = class_sums(*directions(features, targets, context), len(self.weight))
        moved = F.normalize(self.momentum * self.weight + (1 - self.momentum) * sums / counts.clamp(min=1), dim=1)
        self.weight.copy_(torch.where(counts > 0, moved, self.weight))

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to s cos (..., C)."""
        return self.scale * unit(features) @ self.weight.T

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean cross-entropy over views and samples of features (V, B, d)."""
        return self.loss_scale * mixed(cross_entropy, self.logits(features), targets)
