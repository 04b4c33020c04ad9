"""Nearest ETF: class vectors that are the simplex equiangular tight frame nearest to the running class means."""

import math
from typing import Any

import torch
from pydantic import PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Head, Options
from headbench.heads.families.class_sums import class_sums, directions
from headbench.heads.geometry.codes import simplex
from headbench.heads.losses import cross_entropy, mixed
from headbench.heads.normalisation import SHORTEST, unit
from headbench.heads.registry import register

# delta of the proximal term, and the least rate of the running means; both of the authors' code.
PROXIMITY, LEAST_RATE = 1e-3, 1e-4
# Each step raises a small singular value by half, so that one of 1e-4 of the largest is brought to 1.
NEWTON_STEPS = 30


def polar(x: Tensor) -> Tensor:
    """Return the partial isometry nearest to x (C, d) whose columns sum to 0: all singular values but one become 1.

    By Newton-Schulz iteration, without a wait for the device. A singular value below 1e-4 of the largest stays below 1.
    """
    x = x / (x @ x.T).abs().sum(dim=1).max().sqrt()
    for _ in range(NEWTON_STEPS):
        x = 1.5 * x - 0.5 * (x @ x.T) @ x
        # Rounding must not grow into the one direction that has the singular value 0.
        x = x - x.mean(dim=0)
    return x


def nearest_simplex(means: Tensor, before: Tensor) -> Tensor:
    """Return the simplex of unit rows W (C, d) that is nearest to centred class means, and near to the one before.

    W = sqrt(C/(C-1)) M U^T, where U of orthonormal columns minimises |H - U M / sqrt(C-1)|^2 + delta/2 |U - U_0|^2, H
    are the means at Frobenius norm 1 and M the centring. |U M| is the same for every U, so the minimum is a polar
    factor.

    Args:
        means: class means (C, d) whose sum is 0.
        before: W of the step before (C, d).
    """
    num_classes = len(means)
    height = math.sqrt(num_classes / (num_classes - 1))
    pull = 2 / math.sqrt(num_classes - 1) * means / means.norm().clamp(min=SHORTEST)
    return height * polar(pull + PROXIMITY / height * before)


@register(
    "nearest-etf",
    version=1,
    display="Nearest ETF",
    paper="Markou et al., NeurIPS 2024 (guiding neural collapse)",
    source="the implicit ETF of the authors' code: unit features times 5, cross-entropy on W (5 z - mean), W the "
    "simplex nearest to the running class means, again at every step; the running rate of a mean, max(2/(t+1), 1e-4), "
    "and delta = 0.001 are those of the code",
    deviations=(
        "the nearest simplex is the polar factor that solves the code's problem exactly, by Newton-Schulz, where the "
        "code runs 30 iterations of a trust region; it is solved on the C - 1 dimensions of a simplex, so that d = C - "
        "1 is enough; no gradient passes through W and the mean (the paper's declarative node does that); t counts the "
        "batches that have the class, not all; the mean is that of the running class means, not of the batch, so that "
        "a long tail does not move it and evaluation does not depend on the last batch; the first simplex is random; "
        "under mixup mixed features count for the unmixed label"
    ),
)
class NearestETFHead(Head):
    """Logits s w_c (z - m) on unit features z, with m the mean of the running class means and W their nearest simplex.

    Args:
        info: facts of the data.
        feature_dim: d >= C - 1.
        scale: s, 5 in the authors' scripts.
        loss_scale: factor on the mean cross-entropy.
    """

    directional = True
    weight: Tensor
    class_means: Tensor
    visits: Tensor

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return why d is too small: C equiangular vectors at -1/(C-1) need d >= C - 1."""
        needed = info.num_classes - 1
        return None if feature_dim >= needed else f"a simplex ETF of {info.num_classes} classes needs d >= {needed}"

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return the scale."""
        return {"scale": trial.suggest_float("scale", 2.0, 32.0, log=True)}

    def __init__(
        self, info: DataInfo, feature_dim: int, *, scale: PositiveFloat = 5.0, loss_scale: PositiveFloat = 1.0
    ) -> None:
        super().__init__()
        self.scale, self.loss_scale = scale, loss_scale
        span = info.num_classes - 1
        frame = torch.linalg.qr(torch.randn(feature_dim, span, dtype=torch.float64)).Q
        self.register_buffer("weight", (torch.from_numpy(simplex(info.num_classes, span)) @ frame.T).float())
        self.register_buffer("class_means", torch.zeros(info.num_classes, feature_dim))
        self.register_buffer("visits", torch.zeros(info.num_classes, 1))

    @property
    def native_scale(self) -> float:
        """The scale s of the logits."""
        return self.scale

    def prototypes(self) -> Tensor:
        """Return the simplex W (C, d)."""
        return self.weight

    def centre(self) -> Tensor:
        """Return the mean (d,) of the running means of the classes seen so far."""
        return self.class_means.sum(dim=0) / (self.visits > 0).sum().clamp(min=1)

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Move the mean of every class in the batch, and turn the simplex to them."""
        sums, counts = class_sums(*directions(features, targets, context), len(self.weight))
        self.visits.add_(counts > 0)
        rate = torch.where(counts > 0, (2 / (self.visits + 1)).clamp(min=LEAST_RATE), 0.0)
        self.class_means.lerp_(sums / counts.clamp(min=1), rate)
        centred = torch.where(self.visits > 0, self.class_means - self.centre(), 0.0)
        self.weight.copy_(nearest_simplex(centred, self.weight))

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to s w_c (z - m) (..., C)."""
        return self.scale * (unit(features) - self.centre()) @ self.weight.T

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean cross-entropy over views and samples of features (V, B, d)."""
        return self.loss_scale * mixed(cross_entropy, self.logits(features), targets)
