"""TSC: a classifier beside a supervised contrast that later also draws each class to a uniform target of its own."""

from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Options, RecipeView, Stage
from headbench.heads.families.class_sums import class_sums
from headbench.heads.families.contrastive import contrast, distinct, evenly, similarities, supervised_contrastive
from headbench.heads.families.two_branches import VIEWS, TwoBranchHead
from headbench.heads.geometry import methods as geometry
from headbench.heads.geometry.assignment import assign
from headbench.heads.normalisation import unit
from headbench.heads.registry import register

MOMENTUM = 0.9
# Positives of an anchor in the released code, target aside: its other view, and six that are drawn at random.
POSITIVES = 7
SUPERVISED, TARGETED = "supervised", "targeted"


@register(
    "tsc",
    version=1,
    display="TSC",
    paper="Li et al., CVPR 2022",
    source="the released code for ImageNet-LT: supervised contrast, from half of the epochs on with uniform targets, "
    "momentum of class centroids and Hungarian matching, by a new optimiser and the schedule anew",
    deviations=(
        "the projector is bcl's, with batch normalisation, and the views are simclr, where the code has "
        "a linear-ReLU-linear one as wide as the features and a jitter that is always on, without grey; "
        "members are the batch's own, in place of MoCo's queue and momentum encoder; all of a class are positives, of "
        "the weight of the other view and the six that the code draws at random; the paper trains a linear classifier "
        "on the frozen network afterwards, here one learns beside the contrast from the first view by logit-adjusted "
        "cross-entropy, as in bcl, so that the two differ by their contrast only; "
        "both views are anchors and move the centroids, in the code the query alone; centroids start at zero, in the "
        "code at random; they are matched after a step, so that a loss sees the "
        "matching of the step before"
    ),
)
class TSCHead(TwoBranchHead):
    """A classifier with logit adjustment on the first view, and the supervised contrastive loss of the others, in the
    second half of the epochs the targeted one.

    Targets are fixed unit vectors of least uniformity loss. After each step of the second half they are matched with
    the running centroids of the classes, for which host and device wait for each other.

    Args:
        info: facts of the data.
        feature_dim: d.
        hidden: width of the projector's hidden layer.
        projection_dim: p, width of its unit vectors and of the targets.
        temperature: T of the contrastive loss.
        target_weight: lambda, weight of the target among the positives.
        contrastive_weight: factor on the contrastive loss.
        normed: classify by 30 times the cosine with W in place of W h + b.
        loss_scale: factor on the whole loss.
    """

    uniform: Tensor
    centroids: Tensor
    assignment: Tensor

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return why there are no C targets in R^p, or that the normed classifier does not apply."""
        reason = geometry.unsupported("uniform", info.num_classes, options["projection_dim"])
        return f"projection_dim: {reason}" if reason else super().supports(info, feature_dim, options)

    @classmethod
    def stages(cls, recipe: RecipeView, options: Options) -> list[Stage]:
        """Return the stages ``supervised`` and ``targeted``, half of the epochs each; of one epoch only the latter."""
        half = recipe.epochs // 2
        stages = [Stage(SUPERVISED, half, views=VIEWS), Stage(TARGETED, recipe.epochs - half, views=VIEWS)]
        return stages if half else stages[1:]

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return the temperature and the weights of target and contrast, the code's 0.07 and 0.2 within."""
        return {
            "temperature": trial.suggest_float("temperature", 0.03, 0.3, log=True),
            "target_weight": trial.suggest_float("target_weight", 0.05, 5.0, log=True),
            "contrastive_weight": trial.suggest_float("contrastive_weight", 0.1, 2.0, log=True),
        }

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        hidden: PositiveInt = 512,
        projection_dim: PositiveInt = 128,
        temperature: PositiveFloat = 0.07,
        target_weight: NonNegativeFloat = 0.2,
        contrastive_weight: NonNegativeFloat = 1.0,
        normed: bool = False,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(
            info, feature_dim, hidden=hidden, projection_dim=projection_dim, normed=normed, loss_scale=loss_scale
        )
        self.temperature, self.target_weight, self.contrastive_weight = temperature, target_weight, contrastive_weight
        targets = geometry.make("uniform", info.num_classes, projection_dim)
        self.register_buffer("uniform", targets.float())
        self.register_buffer("centroids", torch.zeros(info.num_classes, projection_dim))
        self.register_buffer("assignment", torch.arange(info.num_classes))
        # Of the step under way.
        self.targeted = True

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Move the centroid of every class in the batch by the direction of its mean projection."""
        super().observe(features, targets, context)
        self.targeted = context.stage != SUPERVISED
        if not self.targeted:
            return
        z, labels = (context.gather(x) for x in self.contrasted(features, targets))
        sums, _ = class_sums(z, labels, len(self.uniform))
        # A class that is absent has a sum of zero, and its centroid keeps its direction.
        self.centroids.copy_(unit(MOMENTUM * self.centroids + (1 - MOMENTUM) * unit(sums)))

    def after_step(self) -> None:
        """Match classes with targets so that their total similarity is largest, where there are targets."""
        if self.targeted:
            self.assignment.copy_(assign(self.centroids @ self.uniform.T))

    def on_epoch_end(self, context: Context) -> dict[str, float]:
        """Log the total similarity of centroids and targets, at most C, where there are targets."""
        if context.stage == SUPERVISED:
            return {}
        return {"assignment_similarity": (self.centroids * self.uniform[self.assignment]).sum().item()}

    def contrastive(self, z: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the weighted contrastive loss of projections (N, p), targeted but in the first half."""
        z, labels = context.gather(z, differentiable=True), context.gather(labels)
        if context.stage == SUPERVISED:
            return self.contrastive_weight * supervised_contrastive(z, labels, self.temperature)
        return self.contrastive_weight * targeted_contrastive(
            z, labels, self.uniform[self.assignment], self.temperature, self.target_weight
        )


def targeted_contrastive(
    features: Tensor, labels: Tensor, targets: Tensor, temperature: float, target_weight: float
) -> Tensor:
    """Return the mean supervised contrastive loss with the targets among the members, of which the own one is a
    positive that counts ``target_weight``.

    The loss of an anchor is divided by its number of positives, the target included. Those of the batch together count
    as seven at most, the mean over draws of seven, so that the target keeps its share in a class of many.

    Args:
        features: unit rows (N, p).
        labels: of the features (N,).
        targets: one unit row per class (C, p).
        temperature: T.
        target_weight: lambda.

    Source: Li et al., CVPR 2022, in its released code ``sep_t`` and ``tw``.
    """
    members = torch.cat([features, targets])
    others = distinct(features, members)
    own = labels[:, None] == torch.arange(len(targets), device=labels.device)
    mates = (labels[:, None] == labels) & others[:, : len(features)]
    counted = mates.sum(dim=1, keepdim=True).clamp(max=POSITIVES)
    weights = torch.cat([evenly(mates) * counted, target_weight * own], dim=1) / (counted + 1)
    return contrast(similarities(features, members, temperature), weights, others)
