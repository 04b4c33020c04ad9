"""RePoNet: softmax with fixed weights at the vertices of a regular polytope, the simplex or the orthoplex."""

import torch
from pydantic import PositiveFloat

from headbench.core.batch import DataInfo
from headbench.heads.base import Options
from headbench.heads.families.fixed_linear import FixedLinearHead
from headbench.heads.geometry.codes import orthoplex, simplex
from headbench.heads.registry import register

PAPER = "Pernici et al., TNNLS 2021"


@register(
    "reponet-simplex",
    version=1,
    display="RepoNet (simplex)",
    paper=PAPER,
    source="the d-simplex classifier: fixed unit weights, features that are not normalised",
)
class RePoNetSimplexHead(FixedLinearHead):
    """Logits w_c . h with the C vertices w_c of a simplex in R^(C-1); mean cross-entropy.

    Args:
        info: facts of the data.
        feature_dim: d = C - 1.
        loss_scale: factor on the mean cross-entropy.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that d is not C - 1."""
        needed = info.num_classes - 1
        return (
            None
            if feature_dim == needed
            else f"a simplex of {info.num_classes} classes has exactly {needed} dimensions"
        )

    def __init__(self, info: DataInfo, feature_dim: int, *, loss_scale: PositiveFloat = 1.0) -> None:
        super().__init__(torch.from_numpy(simplex(info.num_classes, feature_dim)), None, loss_scale)


@register(
    "reponet-orthoplex",
    version=1,
    display="RepoNet (orthoplex)",
    paper=PAPER,
    source="the d-orthoplex classifier: fixed weights +-e_i, features that are not normalised",
)
class RePoNetOrthoplexHead(FixedLinearHead):
    """Logits w_c . h with w_c = e_1, -e_1, e_2, ...; mean cross-entropy.

    Args:
        info: facts of the data.
        feature_dim: d = ceil(C / 2).
        loss_scale: factor on the mean cross-entropy.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that d is not C / 2, rounded up."""
        needed = (info.num_classes + 1) // 2
        return (
            None
            if feature_dim == needed
            else f"an orthoplex of {info.num_classes} classes has exactly {needed} dimensions"
        )

    def __init__(self, info: DataInfo, feature_dim: int, *, loss_scale: PositiveFloat = 1.0) -> None:
        super().__init__(torch.from_numpy(orthoplex(info.num_classes, feature_dim)), None, loss_scale)
