"""The multilayer perceptron that contrastive heads put between features and their loss."""

import torch.nn.functional as F
from torch import Tensor, nn

from headbench.heads.normalisation import BatchNorm, unit


class Projector(nn.Module):
    """Features (..., d) to unit vectors (..., p): linear, batch normalisation where asked, ReLU, linear, unit length.

    Its batch normalisation moves in :meth:`observe` only, as all running statistics of a head.

    Args:
        feature_dim: d.
        hidden: width of the hidden layer.
        out: p.
        batch_norm: normalise the hidden layer.

    Source: the projection heads of Zhu et al. (BCL), CVPR 2022, and Du et al. (ProCo), TPAMI 2024, with batch
        normalisation, and of Hou et al. (SBCL), ICCV 2023, without.
    """

    def __init__(self, feature_dim: int, hidden: int, out: int, *, batch_norm: bool = True) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(feature_dim, hidden), nn.Linear(hidden, out)
        self.norm = BatchNorm(hidden) if batch_norm else None

    def forward(self, features: Tensor) -> Tensor:
        """Map features (..., d) to unit vectors (..., p)."""
        hidden = self.first(features)
        return unit(self.second(F.relu(hidden if self.norm is None else self.norm(hidden))))

    def observe(self, features: Tensor) -> None:
        """Move the running statistics by features (..., d)."""
        if self.norm is not None:
            self.norm.observe(self.first(features))
