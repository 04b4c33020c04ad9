"""Squentropy: cross-entropy plus the mean square of the scores of the other classes."""

from pydantic import PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context, Options
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.losses import cross_entropy, other_squares
from headbench.heads.registry import register


def squentropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy plus the mean square of the scores of other classes, for scores (B, C) and labels
    (B,).

    Source: Hui et al., ICML 2023.
    """
    return cross_entropy(scores, labels) + other_squares(scores, labels).mean() / (scores.shape[1] - 1)


@register(
    "squentropy",
    version=1,
    display="Squentropy",
    paper="Hui et al., ICML 2023",
    source="cross-entropy plus the average square loss over the incorrect classes, as in their released code",
)
class SquentropyHead(LinearHead):
    """Linear softmax; loss -log p_y + sum over c != y of z_c^2 / (C - 1), batch mean.

    Args:
        info: facts of the data.
        feature_dim: d.
        loss_scale: factor on the batch mean.
    """

    @classmethod
    def loss_name(cls, options: Options) -> str:
        """Return that it is squentropy."""
        return "squentropy"

    def __init__(self, info: DataInfo, feature_dim: int, *, loss_scale: PositiveFloat = 1.0) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean loss of scores (N, C) and labels (N,)."""
        return squentropy(scores, labels)
