"""DNC, deep nearest centroids: K sub-centroids a class, found by online clustering and moved with a momentum."""

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Head, Options
from headbench.heads.families.class_sums import class_sums, directions
from headbench.heads.losses import cross_entropy, mixed
from headbench.heads.normalisation import unit
from headbench.heads.registry import register

Momentum = Annotated[float, Field(ge=0, le=1)]
# Of the Sinkhorn function in the released code.
ENTROPY, ITERATIONS = 0.05, 3


def nearest_cosines(z: Tensor, centroids: Tensor) -> Tensor:
    """Map unit vectors (..., d) to the largest cosine with the unit centroids (C, K, d) of each class (..., C)."""
    cosines = z @ centroids.flatten(0, 1).T
    return cosines.reshape(*z.shape[:-1], *centroids.shape[:2]).amax(dim=-1)


def sinkhorn(similarity: Tensor, groups: Tensor, num_groups: int, iterations: int = ITERATIONS) -> Tensor:
    """Return soft assignments (N, K) of samples to the K centroids of their own group.

    Rows sum to 1; with more iterations the centroids of a group get the same total, n/K of its n samples.

    Args:
        similarity: (N, K) in [-1, 1]: of each sample to the centroids of its group.
        groups: (N,), the group of each sample.
        num_groups: G.
        iterations: normalisations of columns and rows.

    Source: Cuturi, NeurIPS 2013; Caron et al. (SwAV), NeurIPS 2020, for the balanced form.
    """
    shares = (similarity / ENTROPY).exp()
    for _ in range(iterations):
        totals, _ = class_sums(shares, groups, num_groups)
        shares = shares / totals[groups]
        shares = shares / shares.sum(dim=1, keepdim=True)
    return shares


def clustered(centroids: Tensor, z: Tensor, labels: Tensor, momentum: float) -> Tensor:
    """Return the centroids (C, K, d) after one round of clustering: each moves towards the mean direction of the
    samples of its class that Sinkhorn gives to it, and has unit length again.

    A centroid that gets no sample stays as it is.

    Args:
        centroids: unit vectors (C, K, d).
        z: unit vectors (N, d).
        labels: (N,); C for a row that is no sample.
        momentum: mu, what a centroid keeps of itself; 1 keeps all.
    """
    num_classes, count = centroids.shape[:2]
    own = labels.clamp(max=num_classes - 1)
    # One centroid at a time, because (N, K, d) at once is too much where d is large.
    similarity = torch.stack([(z * centroids[own, k]).sum(dim=1) for k in range(count)], dim=1)
    chosen = sinkhorn(similarity, labels, num_classes + 1).argmax(dim=1)
    sums, members = class_sums(z, count * labels + chosen, count * (num_classes + 1))
    sums, members = (x.reshape(num_classes + 1, count, -1)[:num_classes] for x in (sums, members))
    moved = F.normalize(momentum * centroids + (1 - momentum) * F.normalize(sums, dim=2), dim=2)
    return torch.where(members > 0, moved, centroids)


@register(
    "dnc",
    version=1,
    display="DNC",
    paper="Wang et al., ICLR 2023 (deep nearest centroids)",
    source="the method that the paper describes: K = 4 sub-centroids a class, Sinkhorn within each class on memory and "
    "batch at every step (epsilon 0.05, 3 iterations), hard assignment, momentum 0.999, cross-entropy on the cosine "
    "with the nearest sub-centroid; what the released code does instead is 'dnc-released'",
    deviations="the temperature 0.1 is that of the code's contrastive term, which the code does not use for scores; "
    "the memory is 8,192 samples, not 1,000 batches; all of a class's samples in memory and batch move its centroids; "
    "centroids start at random; under mixup mixed features count for the unmixed label",
)
class DNCHead(Head):
    """Logits max_k cos(h, p_ck) / T with K centroids p_ck a class, which get no gradient.

    Args:
        info: facts of the data.
        feature_dim: d.
        centroids: K, of each class.
        temperature: T, which divides the cosines.
        momentum: mu of the centroids; 1 keeps them as they start.
        memory: samples that are kept beside the batch for the clustering, the oldest overwritten first.
        loss_scale: factor on the mean cross-entropy.
    """

    directional = True
    centroids: Tensor
    memory: Tensor
    memory_labels: Tensor
    pointer: Tensor

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that no class has an image for each of its centroids; a class of the tail may have fewer."""
        count, most = options["centroids"], int(info.class_counts.max())
        return f"{count} centroids a class, and no class has more than {most} images" if count > most else None

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return the number of centroids, temperature and momentum."""
        return {
            "centroids": trial.suggest_int("centroids", 1, 8),
            "temperature": trial.suggest_float("temperature", 0.03, 0.3, log=True),
            "momentum": trial.suggest_categorical("momentum", [0.9, 0.99, 0.999]),
        }

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        centroids: PositiveInt = 4,
        temperature: PositiveFloat = 0.1,
        momentum: Momentum = 0.999,
        memory: PositiveInt = 8192,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        self.temperature, self.momentum, self.loss_scale = temperature, momentum, loss_scale
        start = F.normalize(torch.randn(info.num_classes, centroids, feature_dim), dim=2)
        self.register_buffer("centroids", start)
        self.register_buffer("memory", torch.zeros(memory, feature_dim))
        # C is the label of a row that is still empty.
        self.register_buffer("memory_labels", torch.full((memory,), info.num_classes))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @property
    def native_scale(self) -> float:
        """1/T, the scale of the cosines."""
        return 1 / self.temperature

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Cluster memory and batch, move the centroids, and put the batch into the memory."""
        z, labels = directions(features, targets, context)
        self.centroids.copy_(
            clustered(
                self.centroids, torch.cat([self.memory, z]), torch.cat([self.memory_labels, labels]), self.momentum
            )
        )
        z, labels = z[-len(self.memory) :], labels[-len(self.memory) :]
        places = (self.pointer + torch.arange(len(z), device=z.device)) % len(self.memory)
        self.memory.index_copy_(0, places, z)
        self.memory_labels.index_copy_(0, places, labels)
        self.pointer.add_(len(z)).remainder_(len(self.memory))

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to the largest cosine with a centroid of each class, over T (..., C)."""
        return nearest_cosines(unit(features), self.centroids) / self.temperature

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x mean cross-entropy over views and samples of features (V, B, d)."""
        return self.loss_scale * mixed(cross_entropy, self.logits(features), targets)
