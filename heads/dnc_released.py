"""DNC as its released code is in effect: nearly fixed random centroids between two layer normalisations."""

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Head, Options
from headbench.heads.dnc import nearest_cosines
from headbench.heads.families.class_sums import class_sums
from headbench.heads.losses import cross_entropy, mixed
from headbench.heads.normalisation import unit
from headbench.heads.registry import register

CENTROIDS, MOMENTUM = 4, 0.999


def noise(indices: Tensor, step: Tensor, count: int) -> Tensor:
    """Return a number below ``count`` for each image (N,), which has nothing to do with what it shows and is another
    one at every step.

    A hash of position and step, so that it needs no random state and does not depend on the order of a batch.
    """
    # Odd constants below 2^31, so that no product leaves 64 bits.
    bits = (indices * 73856093 + step * 19349663) % 2**31
    bits = (bits ^ (bits >> 15)) * 739982445 % 2**31
    return (bits ^ (bits >> 12)) % count


@register(
    "dnc-released",
    version=1,
    display="DNC (released)",
    paper="the released code of Wang et al., ICLR 2023 (deep nearest centroids)",
    source="what that code does in effect: layer normalisation of the features, the largest cosine with 4 centroids a "
    "class, layer normalisation of the scores; the centroids start at random and move once in 1,000 steps with the "
    "momentum 0.999, from correctly classified samples whose assignment to a centroid is noise",
    deviations=(
        "left out: the optimal-transport solver (APDAGD), whose result the code drowns in Gumbel noise; here a hash of "
        "image and step assigns; the contrastive term, which is switched off; the memory of 1,000 batches, of which "
        "only sums are kept: a sample is normalised and judged when it is seen, not at the update; the step of the "
        "update, whose loss is that of the memory and does not reach the backbone, is a step like others; no averaging "
        "of centroids over devices, since all see all samples; under mixup mixed features count for the unmixed label"
    ),
)
class DNCReleasedHead(Head):
    """Logits LN(max_k cos(LN(h), p_ck)) with centroids p_ck (C, 4, d) that get no gradient; what learns is the scale
    and the shift of both layer normalisations.

    Args:
        info: facts of the data.
        feature_dim: d >= 3, as C: a layer normalisation of two numbers leaves nothing but their order.
        period: steps, with ``accumulate`` parts of them, from one update of the centroids to the next.
        loss_scale: factor on the mean cross-entropy.
    """

    centroids: Tensor
    sums: Tensor
    members: Tensor
    steps: Tensor

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that there are too few features or classes for layer normalisation."""
        return "its layer normalisations need d >= 3 and 3 classes" if min(feature_dim, info.num_classes) < 3 else None

    def __init__(
        self, info: DataInfo, feature_dim: int, *, period: PositiveInt = 1000, loss_scale: PositiveFloat = 1.0
    ) -> None:
        super().__init__()
        self.period, self.loss_scale = period, loss_scale
        self.feature_norm, self.score_norm = nn.LayerNorm(feature_dim), nn.LayerNorm(info.num_classes)
        shape = (info.num_classes, CENTROIDS, feature_dim)
        self.register_buffer("centroids", F.normalize(torch.randn(shape), dim=2))
        self.register_buffer("sums", torch.zeros(shape))
        self.register_buffer("members", torch.zeros(*shape[:2], 1))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def directions(self, features: Tensor) -> Tensor:
        """Map features (..., d) to unit vectors (..., d)."""
        return unit(self.feature_norm(features))

    def scores(self, z: Tensor) -> Tensor:
        """Map unit vectors (..., d) to logits (..., C)."""
        logits: Tensor = self.score_norm(nearest_cosines(z, self.centroids))
        return logits

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to layer-normalised largest cosines (..., C)."""
        return self.scores(self.directions(features))

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Add the correctly classified samples to the sums of the centroids that noise assigns, and move the centroids
        once a period.
        """
        views = features.shape[0]
        labels, indices = (context.gather(x.repeat(views)) for x in (targets.labels, targets.indices))
        z = context.gather(self.directions(features).flatten(0, 1))
        correct = (self.scores(z).argmax(dim=1) == labels)[:, None]
        place = CENTROIDS * labels + noise(indices, self.steps, CENTROIDS)
        # The last column counts.
        added, _ = class_sums(torch.cat([z, torch.ones_like(z[:, :1])], dim=1) * correct, place, self.members.numel())
        self.sums.add_(added[:, :-1].reshape(self.sums.shape))
        self.members.add_(added[:, -1:].reshape(self.members.shape))
        self.steps.add_(1)
        due = self.steps % self.period == 0
        moved = F.normalize(MOMENTUM * self.centroids + (1 - MOMENTUM) * F.normalize(self.sums, dim=2), dim=2)
        self.centroids.copy_(torch.where(due & (self.members > 0), moved, self.centroids))
        self.sums.mul_(~due)
        self.members.mul_(~due)

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean cross-entropy over views and samples of features (V, B, d)."""
        return self.loss_scale * mixed(cross_entropy, self.logits(features), targets)
