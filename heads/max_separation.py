"""Maximum separation as inductive bias in one matrix: a fixed simplex before the softmax."""

import torch
from pydantic import PositiveFloat

from headbench.core.batch import DataInfo
from headbench.heads.base import Options
from headbench.heads.families.fixed_linear import FixedLinearHead
from headbench.heads.geometry.codes import simplex
from headbench.heads.registry import register


@register(
    "max-separation",
    version=1,
    display="Max separation",
    paper="Kasarla et al., NeurIPS 2022",
    source="logits rho P^T o with the recursive matrix P in its iterative form; rho = 0.1 as for ResNets",
)
class MaxSeparationHead(FixedLinearHead):
    """Logits rho p_c . o with the C vertices p_c of a simplex in R^(C-1), features o as they are; mean cross-entropy.

    Args:
        info: facts of the data.
        feature_dim: d = C - 1.
        rho: radius of the simplex.
        loss_scale: factor on the mean cross-entropy.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that d is not C - 1."""
        needed = info.num_classes - 1
        return (
            None
            if feature_dim == needed
            else f"the matrix of {info.num_classes} classes has exactly {needed} dimensions"
        )

    def __init__(
        self, info: DataInfo, feature_dim: int, *, rho: PositiveFloat = 0.1, loss_scale: PositiveFloat = 1.0
    ) -> None:
        vertices = torch.from_numpy(simplex(info.num_classes, feature_dim))
        super().__init__(rho * vertices, None, loss_scale)
