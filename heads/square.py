"""Square loss: the scores are regressed on the one-hot label."""

import math
from typing import Any

from pydantic import PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context, Options
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.losses import other_squares
from headbench.heads.registry import register

CONFIDENCE = 0.99


def square(scores: Tensor, labels: Tensor, own_weight: float, target: float) -> Tensor:
    """Return the mean of (k (z_y - M)^2 + sum over the other classes of z_c^2) / C for scores z (B, C) and labels (B,).

    Args:
        scores: (B, C).
        labels: (B,).
        own_weight: k.
        target: M.

    Source: Hui & Belkin, ICLR 2021.
    """
    own = scores.gather(1, labels[:, None]).squeeze(1)
    return (own_weight * (own - target).square() + other_squares(scores, labels)).mean() / scores.shape[1]


def usual_rescaling(num_classes: int) -> tuple[float, float]:
    """Return k and M as Hui & Belkin have them: none up to 42 classes, M = 15 for more, k = 15 and M = 30 from 1000."""
    if num_classes <= 42:
        return 1.0, 1.0
    return (1.0, 15.0) if num_classes < 1000 else (15.0, 30.0)


@register(
    "square",
    version=1,
    display="Square loss",
    paper="Hui & Belkin, ICLR 2021",
    source="square loss with their rescaling k, M, by number of classes as they have it",
    deviations="the rescaling is recalled, not read; for probabilities the paper has none: raw is softmax of z, as "
    "in the code of Hui et al., ICML 2023, native that of the multiple of z that gives a perfect fit confidence 0.99; "
    "their learning rates are not those of cross-entropy, here the recipe's is",
)
class SquareHead(LinearHead):
    """Linear scores z; loss (k (z_y - M)^2 + sum of the other z_c^2) / C, batch mean.

    Args:
        info: facts of the data.
        feature_dim: d.
        own_weight: k; None takes 1, from 1000 classes on 15.
        target: M; None takes 1, for more than 42 classes 15, from 1000 on 30.
        loss_scale: factor on the batch mean.
    """

    @classmethod
    def loss_name(cls, options: Options) -> str:
        """Return that it is the square loss."""
        return "square"

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return k and M, over those of the paper."""
        return {name: trial.suggest_float(name, 1.0, 30.0, log=True) for name in ("own_weight", "target")}

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        own_weight: PositiveFloat | None = None,
        target: PositiveFloat | None = None,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        weight, length = usual_rescaling(info.num_classes)
        self.own_weight = weight if own_weight is None else own_weight
        self.target = length if target is None else target
        self.scale = math.log((info.num_classes - 1) * CONFIDENCE / (1 - CONFIDENCE)) / self.target

    @property
    def native_scale(self) -> float:
        """The scale s of the logits s z."""
        return self.scale

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to s z (..., C)."""
        return self.scale * super().logits(features)

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean square loss of scores z (N, C) and labels (N,)."""
        return square(scores, labels, self.own_weight, self.target)
