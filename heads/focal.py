"""Focal loss: cross-entropy that counts less where the own class is likely already."""

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context, Options
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.registry import register

# Below it 1 - p is rounding, and a power of it below 1 would have an endless gradient.
LEAST = 1e-12


def focal(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Return the mean of -(1 - p_y)^gamma log p_y for logits (B, C) and labels (B,), with p the softmax."""
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    return ((-torch.expm1(-cross_entropy)).clamp(min=LEAST) ** gamma * cross_entropy).mean()


@register(
    "focal",
    version=1,
    display="Focal",
    paper="Lin et al., ICCV 2017",
    source="the softmax form of equation 4; gamma = 1 as in the long-tailed tables of Cao et al., NeurIPS 2019, and "
    "their released code",
    deviations="a batch mean, as there, where calibration papers (gamma = 3) sum; no class weights",
)
class FocalHead(LinearHead):
    """Linear softmax whose loss is the mean of -(1 - p_y)^gamma log p_y.

    Args:
        info: facts of the data.
        feature_dim: d.
        gamma: how little the likely counts; 0 is plain cross-entropy.
        loss_scale: factor on the batch mean.
    """

    named = ("gamma",)

    @classmethod
    def loss_name(cls, options: Options) -> str:
        """Return that it is the focal loss."""
        return "focal"

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return gamma, from long tails (1) over detection (2) to calibration (3)."""
        return {"gamma": trial.suggest_float("gamma", 0.0, 5.0)}

    def __init__(
        self, info: DataInfo, feature_dim: int, *, gamma: NonNegativeFloat = 1.0, loss_scale: PositiveFloat = 1.0
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.gamma = gamma

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean focal loss of scores (N, C) and labels (N,)."""
        return focal(scores, labels, self.gamma)
