"""CMF, the class-mean features classifier: a softmax whose class vectors are running means of the features."""

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
    display="CMF",
    paper="Jiang et al., ICML 2024 (generalized neural collapse)",
    source="the classifier of the authors' code: from zero, w_c <- normalise(m w_c + (1 - m) mean of the unit features "
    "of c in the batch), and cross-entropy on s cos; s = 10 as in its logged runs",
    deviations="the code adds up where it speaks of averaging, so that its m = 0.9 fades with the number of a class's "
    "samples: 2.5 in its runs, but of 45 in a batch hardly anything is left of the mean before, and the features chase "
    "it; with means instead no value is published, and 0.99 was the best that we measured; "
    "only the classes of a batch move, where the code also normalises the others again, which changes "
    "rounding alone; under mixup mixed features count for the unmixed label",
)
class CMFHead(Head):
    """Softmax of s cos(h, w_c) with w_c the running mean direction of class c; only the features learn.

    A class that was never seen has w_c = 0.

    Args:
        info: facts of the data.
        feature_dim: d.
        scale: s, the factor on the cosines.
        momentum: m of the class vectors. With a small one they follow each batch, and the features chase them.
        loss_scale: factor on the mean cross-entropy.
    """

    directional = True
    weight: Tensor

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return scale and momentum."""
        return {
            "scale": trial.suggest_float("scale", 2.0, 32.0, log=True),
            "momentum": trial.suggest_float("momentum", 0.9, 0.999),
        }

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        scale: PositiveFloat = 10.0,
        momentum: Momentum = 0.99,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        self.scale, self.momentum, self.loss_scale = scale, momentum, loss_scale
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
