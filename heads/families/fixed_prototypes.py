"""What heads with fixed prototypes share: the buffer, the cosine scores and the choice of loss."""

from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Head, Options
from headbench.heads.geometry import methods as geometry
from headbench.heads.losses import (
    adacos_scale,
    batch_class_weights,
    confidence_scale,
    cross_entropy,
    dot_regression,
    mixed,
    squared_cosine,
)
from headbench.heads.normalisation import BatchNorm, unit

Objective = Literal["squared-cosine", "dot-regression", "cross-entropy"]
# Of heads without an option ``loss``.
USUAL: Objective = "squared-cosine"


def weights_without_use(loss: str, batch_weights: bool) -> str | None:
    """Return that batch weights belong to another loss, or None."""
    return "batch_weights belong to the dot-regression loss" if batch_weights and loss != "dot-regression" else None


class FixedPrototypeHead(Head):
    """Cosine scores against prototypes that are a buffer and get no gradient.

    Args:
        prototypes: (C, d) float64 with unit rows.
        loss_scale: factor on the batch mean of the loss.
        objective: ``squared-cosine``, (1 - cos)^2; ``dot-regression``, half of it; or ``cross-entropy`` on the scaled
            cosines.
        scale: s of the logits s cos; ``adacos`` for sqrt(2) ln(C-1), or None for the s at which a vertex of a C-simplex
            has confidence 0.99.
        batch_weights: weight dot regression by the inverse class frequencies of the batch.
        batch_norm: normalise features by batch statistics before they are brought to unit length.
        label_smoothing: part of the target of cross-entropy that is spread over all classes.
    """

    directional = True
    bank: Tensor

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that batch weights have no use, or why the option ``prototypes``, for heads that have it, has none in
        R^d.
        """
        useless = weights_without_use(cls.loss_name(options), options.get("batch_weights", False))
        return useless or (
            geometry.unsupported(options["prototypes"], info.num_classes, feature_dim)
            if "prototypes" in options
            else None
        )

    @classmethod
    def loss_name(cls, options: Options) -> str:
        """Return the option ``loss`` where there is one, else the squared cosine."""
        return str(options.get("loss", USUAL))

    @classmethod
    def files(cls, options: Options) -> dict[str, Path]:
        """Return the file of the user's own prototypes, for heads with an option ``prototypes``."""
        path = geometry.file_of(options["prototypes"]) if "prototypes" in options else None
        return {} if path is None else {"prototypes": path}

    def __init__(
        self,
        prototypes: Tensor,
        loss_scale: float,
        *,
        objective: Objective = USUAL,
        scale: float | Literal["adacos"] | None = None,
        batch_weights: bool = False,
        batch_norm: bool = False,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("bank", prototypes.float())
        self.loss_scale, self.objective, self.batch_weights, self.label_smoothing = (
            loss_scale,
            objective,
            batch_weights,
            label_smoothing,
        )
        if isinstance(scale, str):
            scale = adacos_scale(len(prototypes))
        self.scale = confidence_scale(len(prototypes)) if scale is None else scale
        self.norm = BatchNorm(prototypes.shape[1]) if batch_norm else nn.Identity()

    @property
    def native_scale(self) -> float:
        """The scale s of the logits."""
        return self.scale

    def prototypes(self) -> Tensor:
        """Return the prototypes (C, d) in class order."""
        return self.bank

    def directions(self, features: Tensor) -> Tensor:
        """Map features (..., d) to unit vectors (..., d)."""
        return unit(self.norm(features))

    def cosines(self, features: Tensor) -> Tensor:
        """Map features (..., d) to cosines (..., C) with the prototypes."""
        return self.directions(features) @ self.prototypes().T

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to scaled cosines (..., C)."""
        return self.scale * self.cosines(features)

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Move the running statistics of batch normalisation."""
        if isinstance(self.norm, BatchNorm):
            self.norm.observe(features)

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x the mean of the objective over views and samples of features (V, B, d)."""
        if self.objective == "squared-cosine":
            return self.loss_scale * mixed(squared_cosine, self.cosines(features), targets)
        if self.objective == "cross-entropy":
            return self.loss_scale * mixed(
                partial(cross_entropy, label_smoothing=self.label_smoothing), self.logits(features), targets
            )
        weights = batch_class_weights(context.gather(targets.labels), len(self.bank)) if self.batch_weights else None
        objective = partial(dot_regression, classifier=self.prototypes(), class_weights=weights)
        return self.loss_scale * mixed(objective, self.directions(features), targets)
