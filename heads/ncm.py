"""NCM, the nearest class mean: a softmax while the network is trained, then the means of the training features."""

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import ONE_DIMENSION, Context, Options
from headbench.heads.families.class_sums import class_sums
from headbench.heads.families.linear_softmax import LinearHead
from headbench.heads.normalisation import unit
from headbench.heads.registry import register


@register(
    "ncm",
    version=1,
    display="NCM",
    paper="Kang et al., ICLR 2020 (nearest class mean classifier)",
    source="section 4 of the paper and its released code: means of the plain training images' features, in eval mode",
    deviations=(
        "scores are 2 m_c . h - |m_c|^2, which is -|h - m_c|^2 up to a number that all classes share; the cosine "
        "divides by the length of the mean (released code: by d); best_val, like best_test, is the best epoch of the "
        "softmax, whose features then have means"
    ),
)
class NCMHead(LinearHead):
    """Linear softmax in training; then each class is compared by the mean of its training features.

    Args:
        info: facts of the data.
        feature_dim: d.
        normalise: ``none`` takes features as they are, ``unit`` brings them to unit length, ``centred`` after the mean
            of all training features is taken off (``un``, ``l2n`` and ``cl2n`` of the released code).
        distance: ``euclidean``, scores are negative squared distances; or ``cosine``, they are products with the means
            brought to unit length.
        loss_scale: factor on the mean cross-entropy.
    """

    centre: Tensor
    fitted: Tensor

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return the class that has no mean, or that directions do not differ at d = 1."""
        empty = [name for name, count in zip(info.class_names, info.class_counts.tolist(), strict=True) if not count]
        if empty:
            return f"class '{empty[0]}' has no training images, and so no mean"
        directions = options["normalise"] != "none" or options["distance"] == "cosine"
        return ONE_DIMENSION if directions and feature_dim == 1 else None

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        normalise: Literal["none", "unit", "centred"] = "centred",
        distance: Literal["euclidean", "cosine"] = "euclidean",
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(info, feature_dim, loss_scale=loss_scale)
        self.normalise, self.distance = normalise, distance
        self.register_buffer("centre", torch.zeros(feature_dim))
        self.register_buffer("fitted", torch.tensor(False))

    def directions(self, features: Tensor) -> Tensor:
        """Map features (..., d) to what is compared with the means (..., d)."""
        return features if self.normalise == "none" else unit(features - self.centre)

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to W h + b (..., C), in which after training W and b are those of the means."""
        return super().logits(torch.where(self.fitted, self.directions(features), features))

    @torch.no_grad()
    def finalize(self, context: Context) -> dict[str, float]:
        """Put the class means into the linear layer."""
        features, labels, _ = context.collect("train", "plain")
        weight, bias = self.linear.weight, self.linear.bias
        if self.normalise == "centred":
            self.centre.copy_(features.mean(dim=0))
        sums, counts = class_sums(self.directions(features), labels, len(weight))
        means = sums / counts
        if self.distance == "euclidean":
            weight.copy_(2 * means)
            bias.copy_(-means.square().sum(dim=1))
        else:
            weight.copy_(unit(means))
            bias.zero_()
        self.fitted.fill_(True)
        return {}
