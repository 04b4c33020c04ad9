"""A head that uses the whole contract: two stages, three views then one, clustering, a lookup by index, a new start of
a layer, and a second stage in which one vector learns.

Known to the tests only.
"""

from collections.abc import Iterable
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.heads import Context, Head, Options, RecipeView, Stage

Share = Annotated[float, Field(gt=0, lt=1)]


class ThrowawayHead(Head):
    """Stage ``contrast`` pulls three views of an image, and its cluster's mean, together.

    Stage ``classify`` puts the class means into the linear layer, and learns a scale for each of its rows. What
    the head froze itself, ``anchor``, never learns.

    Every second epoch of ``contrast`` each class is cut into two clusters by the sign of the first feature.

    Args:
        info: facts of the data.
        feature_dim: d.
        share: of the epochs, for the first stage.
    """

    cluster: Tensor
    centres: Tensor
    seen: Tensor

    @classmethod
    def stages(cls, recipe: RecipeView, options: Options) -> list[Stage]:
        first = max(1, round(options["share"] * recipe.epochs))
        return [
            Stage("contrast", first, views=("weak", "weak", "plain")),
            Stage(
                "classify",
                max(1, recipe.epochs - first),
                {"lr": 0.01},
                sampler="class_balanced",
                trainable=("head.scale",),
            ),
        ]

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        return {"share": trial.suggest_float("share", 0.1, 0.9)}

    def __init__(self, info: DataInfo, feature_dim: int, *, share: Share = 0.5) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, info.num_classes)
        self.scale = nn.Parameter(torch.ones(info.num_classes))
        self.anchor = nn.Parameter(torch.full((feature_dim,), 0.1), requires_grad=False)
        self.register_buffer("cluster", torch.zeros(info.train_size, dtype=torch.int64))
        self.register_buffer("centres", torch.zeros(2 * info.num_classes, feature_dim))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.log: list[tuple[Any, ...]] = []

    def parameter_groups(self, recipe: RecipeView, stage: Stage) -> Iterable[dict[str, Any]]:
        decay = 0.0 if stage.name == "classify" else recipe.weight_decay
        return [
            {"params": [*self.linear.parameters(), self.anchor]},
            {"params": [self.scale], "weight_decay": decay},
        ]

    def logits(self, features: Tensor) -> Tensor:
        scores: Tensor = self.scale * self.linear(features - self.anchor)
        return scores

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        self.seen += targets.labels.shape[0]

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        if context.stage == "classify":
            return F.cross_entropy(self.logits(features[0]), targets.labels)
        spread = (features - features.mean(dim=0)).square().sum(dim=-1).mean()
        distance = (features - self.centres[self.cluster[targets.indices]]).square().sum(dim=-1).mean()
        return spread + distance + F.cross_entropy(self.logits(features[0]), targets.labels)

    def on_stage_start(self, context: Context) -> None:
        if context.stage == "classify":
            features, labels, _ = context.collect("train", "plain")
            with torch.no_grad():
                for number, row in enumerate(self.linear.weight):
                    row.copy_(features[labels == number].mean(dim=0))

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
    keys = ("linear.weight", "linear.bias", "scale", "anchor")
    weight, bias, scale, anchor = (head.state_dict()[key].double() for key in keys)
    h = features.double()
    logits = torch.stack([scale * (weight @ (row - anchor) + bias) for row in h])
    entropy = [torch.log(torch.exp(row).sum()) - row[y] for row, y in zip(logits, labels, strict=True)]
    return logits, torch.stack([(row**2).sum() for row in h]).mean() + torch.stack(entropy).mean()
