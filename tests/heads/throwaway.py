"""A head that uses the whole contract: two stages, two views then one, clustering, a lookup by index.

Known to the tests only.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.heads import Context, Head, Stage
from headbench.heads.base import RecipeView


class ThrowawayHead(Head):
    """Stage ``contrast`` pulls two views of an image, and its cluster's mean, together.

    Stage ``classify`` trains a linear layer on a frozen backbone.

    Every second epoch of ``contrast`` each class is cut into two clusters by the sign of the first feature.
    """

    views = ("weak", "weak")
    cluster: Tensor
    centres: Tensor
    seen: Tensor

    @classmethod
    def stages(cls, recipe: RecipeView) -> list[Stage]:
        first = max(1, recipe.epochs // 2)
        return [
            Stage("contrast", first),
            Stage(
                "classify",
                max(1, recipe.epochs - first),
                {"lr": 0.01},
                sampler="class_balanced",
                trainable=("head",),
                views=("weak",),
            ),
        ]

    def __init__(self, info: DataInfo, feature_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, info.num_classes)
        self.register_buffer("cluster", torch.zeros(info.train_size, dtype=torch.int64))
        self.register_buffer("centres", torch.zeros(2 * info.num_classes, feature_dim))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.log: list[tuple[Any, ...]] = []

    def logits(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(features)
        return scores

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        self.seen += targets.labels.shape[0]

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        if context.stage == "classify":
            return F.cross_entropy(self.logits(features[0]), targets.labels)
        spread = (features - features.mean(dim=0)).square().sum(dim=-1).mean()
        distance = (features - self.centres[self.cluster[targets.indices]]).square().sum(dim=-1).mean()
        return spread + distance + F.cross_entropy(self.logits(features[0]), targets.labels)

    def on_epoch_start(self, context: Context) -> dict[str, float]:
        self.log.append((context.stage, context.epoch, context.epochs, context.step))
        if context.stage == "classify" or context.epoch % 2:
            return {}
        features, labels, indices = context.collect("train", "plain")
        self.cluster[indices] = 2 * labels + (features[:, 0] > 0)
        for number in range(len(self.centres)):
            members = features[self.cluster[indices] == number]
            self.centres[number] = members.mean(dim=0) if len(members) else 0
        return {"clusters": float(self.cluster.unique().numel())}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of stage ``contrast`` before any clustering: for one view the spread is 0 and every centre lies at 0."""
    weight, bias = (head.state_dict()[key].double() for key in ("linear.weight", "linear.bias"))
    h = features.double()
    logits = torch.stack([weight @ row + bias for row in h])
    entropy = [torch.log(torch.exp(row).sum()) - row[y] for row, y in zip(logits, labels, strict=True)]
    return logits, torch.stack([(row**2).sum() for row in h]).mean() + torch.stack(entropy).mean()
