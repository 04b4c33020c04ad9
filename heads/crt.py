"""cRT, classifier re-training: a softmax that is learned anew on class-balanced batches of frozen features."""

from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.core.streams import generator
from headbench.heads.base import Context, Options, RecipeView, Stage
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.families.two_stage import CLASSIFIER, Fraction, two_stages
from headbench.heads.registry import register


@register(
    "crt",
    version=1,
    display="cRT",
    paper="Kang et al., ICLR 2020 (classifier re-training)",
    source="section 4 of the paper and its released code: W and b are initialised anew, and learn on class-balanced "
    "batches with the learning rate and weight decay of the first stage and a cosine",
    deviations=(
        "both stages together are as long as the recipe (paper: 90 + 10 epochs on ImageNet-LT and 90 + 30 on "
        "iNaturalist); an epoch of the second stage shows as many images as the training part has (released code: the "
        "largest class times C, 11 times as many on ImageNet-LT, 19 times on iNaturalist); frozen batch normalisation "
        "is in eval mode (released code: in training mode, so that its statistics move); images are drawn one by one, "
        "class first (released code: four at once of each class, each class and image once before any again); the "
        "cosine falls step by step, not epoch by epoch; the second stage begins with the last weights of the first "
        "(released code: the best on validation)"
    ),
)
class CRTHead(LinearHead):
    """Linear softmax in two stages: the whole network on all images; then W and b anew, on class-balanced batches of
    the frozen network.

    Args:
        info: facts of the data.
        feature_dim: d.
        second_fraction: of the recipe's epochs, for the second stage.
        loss_scale: factor on the mean cross-entropy.
    """

    seed: Tensor

    @classmethod
    def stages(cls, recipe: RecipeView, options: Options) -> list[Stage]:
        """Return the stages ``representation`` and ``classifier``."""
        return two_stages(recipe, options["second_fraction"], ("backbone", "projection", "head"), ("head",))

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return the length of the second stage, around the paper's 0.1."""
        return {"second_fraction": trial.suggest_float("second_fraction", 0.05, 0.5, log=True)}

    def __init__(
        self, info: DataInfo, feature_dim: int, *, second_fraction: Fraction = 0.2, loss_scale: PositiveFloat = 1.0
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.register_buffer("seed", torch.randint(2**62, (), generator=info.generator))

    @torch.no_grad()
    def on_stage_start(self, context: Context) -> None:
        """Initialise W and b anew for the second stage, as ``torch.nn.Linear`` does: uniform up to 1 / sqrt(d)."""
        if context.stage == CLASSIFIER:
            bound, drawn = self.linear.in_features**-0.5, generator(int(self.seed), CLASSIFIER)
            for own in (self.linear.weight, self.linear.bias):
                # On the CPU, so that every device starts from the same numbers.
                own.copy_(torch.empty(own.shape).uniform_(-bound, bound, generator=drawn))
