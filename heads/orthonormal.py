"""Orthonormal class matrices: a class is a subspace, and its score the length of a feature's projection on it."""

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Head, Options, RecipeView, Stage
from headbench.heads.losses import cross_entropy, mixed
from headbench.heads.normalisation import unit
from headbench.heads.registry import register


def orthonormal(rows: Tensor) -> Tensor:
    """Return the orthonormal rows (..., M, d) that QR makes of rows (..., M, d), each turned the way it was."""
    q, r = torch.linalg.qr(rows.mT)
    turned: Tensor = q * torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)[..., None, :]
    return turned.mT


@register(
    "orthonormal",
    version=1,
    display="Orthonormal",
    paper="after Goto et al., WACV 2024 (orthonormal matrices for multimodal classes)",
    source="our reconstruction from the abstract: one orthonormal matrix a class, learned by gradient, instead of "
    "sub-centroids, and a continuous assignment instead of a hard one",
    deviations="the formula, optimiser and schedule of the paper could not be recovered, and it has no public code: "
    "its numbers must not be quoted as reproduced by this head; ours are the score s |W_c z|, M = 4 vectors a class "
    "as DNC's sub-centroids, s = 16, and QR after each step of the recipe's optimiser",
)
class OrthonormalHead(Head):
    """Logits s |W_c z| on unit features z, with learnable W_c (M, d) of orthonormal rows: s times the cosine of a
    feature with the subspace of a class, whose sign does not count.

    Args:
        info: facts of the data.
        feature_dim: d > M.
        vectors: M, the dimension of a class's subspace; with 1 the score is s |cos|.
        scale: s, on all scores.
        loss_scale: factor on the mean cross-entropy.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return why M is too large: M = d vectors span all of R^d, and all scores are the same."""
        vectors = options["vectors"]
        return None if vectors < feature_dim else f"vectors: {vectors} orthonormal vectors a class need d > {vectors}"

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return the scale."""
        return {"scale": trial.suggest_float("scale", 4.0, 64.0, log=True)}

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        vectors: PositiveInt = 4,
        scale: PositiveFloat = 16.0,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        self.scale, self.loss_scale = scale, loss_scale
        self.weight = nn.Parameter(orthonormal(torch.randn(info.num_classes, vectors, feature_dim)))

    @property
    def native_scale(self) -> float:
        """The scale s of the logits."""
        return self.scale

    def parameter_groups(self, recipe: RecipeView, stage: Stage) -> Iterable[dict[str, Any]]:
        """Return the matrices without weight decay, which the retraction would undo."""
        return [{"params": [self.weight], "weight_decay": 0.0}]

    @torch.no_grad()
    def after_step(self) -> None:
        """Bring the matrices back to orthonormal rows."""
        self.weight.copy_(orthonormal(self.weight))

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to s |W_c z| (..., C)."""
        coordinates = unit(features) @ self.weight.flatten(0, 1).T
        lengths: Tensor = coordinates.reshape(*features.shape[:-1], *self.weight.shape[:2]).norm(dim=-1)
        return self.scale * lengths

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean cross-entropy over views and samples of features (V, B, d)."""
        return self.loss_scale * mixed(cross_entropy, self.logits(features), targets)
