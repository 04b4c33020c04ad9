"""LWS, learnable weight scaling: one factor per class on the scores of a softmax, learned on frozen features."""

from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from headbench.core.batch import DataInfo
from headbench.heads.base import Context, Options, RecipeView, Stage
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.families.two_stage import Fraction, two_stages
from headbench.heads.losses import cross_entropy
from headbench.heads.registry import register


@register(
    "lws",
    version=1,
    display="LWS",
    paper="Kang et al., ICLR 2020 (learnable weight scaling)",
    source="section 4 of the paper and its released code: f_c (w_c . h + b_c), where only f learns, from 1, on "
    "class-balanced batches with the learning rate and weight decay of the first stage and a cosine",
    deviations=(
        "f multiplies the bias too, as in the released code (the paper's formula scales the weights); nothing keeps f "
        "positive, as in the released code; both stages together are as long as the recipe (paper: 90 + 5 epochs on "
        "ImageNet-LT); an epoch of the second stage shows as many images as the training part has, frozen batch "
        "normalisation is in eval mode, images are drawn one by one, the cosine falls step by step, and the second "
        "stage begins with the last weights of the first: all as in crt"
    ),
)
class LWSHead(LinearHead):
    """Linear softmax in two stages: the whole network on all images; then one factor per class on its scores, on
    class-balanced batches of the frozen network.

    Args:
        info: facts of the data.
        feature_dim: d.
        second_fraction: of the recipe's epochs, for the second stage.
        loss_scale: factor on the mean cross-entropy.
    """

    @classmethod
    def stages(cls, recipe: RecipeView, options: Options) -> list[Stage]:
        """Return the stages ``representation``, with f = 1, and ``classifier``, in which only f learns."""
        return two_stages(
            recipe, options["second_fraction"], ("backbone", "projection", "head.linear"), ("head.scale",)
        )

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return the length of the second stage, with the paper's 0.053."""
        return {"second_fraction": trial.suggest_float("second_fraction", 0.05, 0.5, log=True)}

    def __init__(
        self, info: DataInfo, feature_dim: int, *, second_fraction: Fraction = 0.2, loss_scale: PositiveFloat = 1.0
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.scale = nn.Parameter(torch.ones(info.num_classes))

    def prototypes(self) -> Tensor:
        """Return the scaled weight rows f_c w_c (C, d)."""
        return self.scale[:, None] * self.linear.weight

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to f (W h + b) (..., C)."""
        return self.scale * super().logits(features)

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean cross-entropy of f times scores W h + b (N, C) and labels (N,)."""
        return cross_entropy(self.scale * scores, labels)
