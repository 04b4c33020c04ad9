"""SBCL: contrast of the subclasses of each class, then a classifier on the frozen features."""

import math
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.core.errors import UserError
from headbench.core.streams import derive
from headbench.heads.base import ONE_DIMENSION, Context, Head, Options, RecipeView, Stage
from headbench.heads.families.contrastive import contrast, distinct, evenly, similarities, supervised_contrastive
from headbench.heads.families.projector import Projector
from headbench.heads.families.two_stage import CLASSIFIER, REPRESENTATION
from headbench.heads.ldam import LDAMHead
from headbench.heads.psc import PSCHead
from headbench.heads.registry import register
from headbench.heads.subclasses import Form, cluster, dynamic_temperatures, subclass_counts

VIEW = "supcon"
# The released code weighs the contrast of subclasses by temperature / 0.07.
BASE_TEMPERATURE = 0.07


@register(
    "sbcl",
    version=1,
    display="SBCL",
    paper="Hou et al., ICCV 2023",
    source="the released code for CIFAR: contrast within the batch, linear form of the dynamic temperature, ordinary "
    "k-means of the first augmented view; second stage 'ldam' is that of the published CIFAR numbers",
    deviations=(
        "the stages are as long as fractions of the recipe, and the first one has its rate, weight decay, schedule and "
        "batch size (released code: 1000 epochs and 200; recipe lt-sbcl with first_fraction 1); the "
        "warm-up is no more than a tenth of its stage, whatever the batch size, and clusterings are "
        "counted from its end; k-means of scikit-learn on unit vectors, by distances to centres in place of cosines "
        "with them; temperature is that of L1 too (released code: 0.1, whatever the option says), and the warm-up is "
        "not weighed by temperature / 0.1; the second stage shows the recipe's view to classify, with its mixup "
        "(released code: crop and flip), 'balanced' draws images one by one, as many in an epoch as the training part "
        "has, and has no warm-up (released code: four of a class at once, the largest class times C in an epoch, "
        "warm-up of 5 of 45 epochs); no queue, no momentum encoder, no balanced k-means"
    ),
)
class SBCLHead(Head):
    """Contrast of two views of each image learns the network; then a classifier learns on its frozen features.

    After a warm-up of supervised contrastive learning of classes, each class is divided into subclasses, and an image i
    is drawn to its subclass, by L1, and less to the rest of its class, by L2 with a temperature of the class: the loss
    is the mean of temperature / 0.07 L1_i + gamma L2_i.

    Args:
        info: facts of the data.
        feature_dim: d.
        first_fraction: length of the first stage, as a fraction of the recipe's epochs; 2 is twice as many.
        second_fraction: the same of the second stage.
        smallest_subclass: images that a subclass has on average, or those of the smallest class if they are more.
        cluster_period: epochs from one clustering to the next; 0 for none, supervised contrastive learning of classes.
        warmup_epochs: epochs before the first clustering, but no more than a tenth of the stage, rounded up.
        temperature: of L1, and of L2 for a class of usual spread.
        temperature_form: of a class's temperature by its spread, ``linear`` as in the released code or ``exponential``
            as in the paper.
        gamma: weight of L2.
        second_stage: ``ldam``, its margins and class-balanced weights, or ``balanced``, cross-entropy of a linear layer
            on class-balanced batches.
        hidden: width of the projector's hidden layer.
        projection_dim: p, of the projector's unit vectors.
    """

    seed: Tensor
    subclass_counts: Tensor
    subclasses: Tensor
    temperatures: Tensor

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that the cosines of the second stage do not apply at d = 1."""
        return ONE_DIMENSION if options["second_stage"] == "ldam" and feature_dim == 1 else None

    @classmethod
    def stages(cls, recipe: RecipeView, options: Options) -> list[Stage]:
        """Return the contrast of two views without mixing, and the classifier on frozen features."""
        first, second = (max(1, round(options[part] * recipe.epochs)) for part in ("first_fraction", "second_fraction"))
        balanced = options["second_stage"] == "balanced"
        # Released code: x0.1 after epochs 140 and 180 of 200, a warm-up of 5.
        steps = {"name": "multi_step", "milestones": (0.7, 0.9), "gamma": 0.1, "warmup_epochs": second // 40}
        sgd = {"optimiser": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
        # The code's batches of 128, but no larger ones than the recipe's, which a small data set may not fill. What
        # the recipe divides to save memory is whole here, where a linear layer alone learns.
        sgd |= {"batch_size": min(recipe.batch_size, 128), "accumulate": 1}
        return [
            Stage(
                REPRESENTATION,
                first,
                {"mixup": 0.0, "cutmix": 0.0},
                views=(VIEW, VIEW),
                trainable=("backbone", "projection", "head.projector"),
            ),
            Stage(
                CLASSIFIER,
                second,
                sgd | {"schedule": {"name": "cosine"} if balanced else steps},
                sampler="class_balanced" if balanced else "instance",
                trainable=("head.classifier",),
            ),
        ]

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Suggest the size of subclasses, the temperature and the weight of L2."""
        return {
            "smallest_subclass": trial.suggest_int("smallest_subclass", 5, 40, log=True),
            "temperature": trial.suggest_float("temperature", 0.05, 0.5, log=True),
            "gamma": trial.suggest_float("gamma", 0.05, 1.0, log=True),
        }

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        first_fraction: PositiveFloat = 0.8,
        second_fraction: PositiveFloat = 0.2,
        smallest_subclass: PositiveInt = 10,
        cluster_period: NonNegativeInt = 10,
        warmup_epochs: NonNegativeInt = 10,
        temperature: PositiveFloat = 0.1,
        temperature_form: Form = "linear",
        gamma: NonNegativeFloat = 0.25,
        second_stage: Literal["ldam", "balanced"] = "ldam",
        hidden: PositiveInt = 64,
        projection_dim: PositiveInt = 128,
    ) -> None:
        super().__init__()
        self.cluster_period, self.warmup_epochs = cluster_period, warmup_epochs
        self.temperature, self.temperature_form, self.gamma = temperature, temperature_form, gamma
        self.projector = Projector(feature_dim, hidden, projection_dim, batch_norm=False)
        self.classifier: Head = (LDAMHead if second_stage == "ldam" else PSCHead)(info, feature_dim)
        counts = subclass_counts(info, smallest_subclass)
        self.register_buffer("seed", torch.randint(2**62, (), generator=info.generator))
        self.register_buffer("subclass_counts", counts)
        self.register_buffer("subclasses", torch.zeros(info.train_size, dtype=torch.int64))
        self.register_buffer("temperatures", torch.full((info.num_classes,), temperature))

    @property
    def native_scale(self) -> float:
        """That of the classifier."""
        return self.classifier.native_scale

    def prototypes(self) -> Tensor | None:
        """Return the classifier's vectors (C, d)."""
        return self.classifier.prototypes()

    def logits(self, features: Tensor) -> Tensor:
        """Map features (B, d) to the classifier's scores (B, C)."""
        return self.classifier.logits(features)

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return the contrast of features (V, B, d) in the first stage, else the loss of the classifier."""
        if context.stage != REPRESENTATION:
            # The weights of LDAM's last epochs hold from the first.
            return self.classifier.loss(features, targets, replace(context, epoch=context.epochs))
        views, points = len(features), self.projector(features).flatten(0, 1)
        labels = targets.labels.repeat(views)
        if context.epoch < self._warm_up(context) or not self.cluster_period:
            return supervised_contrastive(points, labels, self.temperature)
        subclasses, images = self.subclasses[targets.indices].repeat(views), targets.indices.repeat(views)
        return self._two_levels(points, labels, subclasses, images)

    def _warm_up(self, context: Context) -> int:
        return min(self.warmup_epochs, math.ceil(context.epochs / 10))

    def _two_levels(self, points: Tensor, labels: Tensor, subclasses: Tensor, images: Tensor) -> Tensor:
        """Return the mean of temperature / 0.07 L1 + gamma L2 over points (N, p), of which several show one image.

        L2 draws an anchor to its class's other subclasses and to the other views of its image, against all that is not
        of its subclass.

        Source: Hou et al., ICCV 2023, and its released code.
        """
        fine = supervised_contrastive(points, subclasses, self.temperature)
        same_image = (images[:, None] == images) & distinct(points, points)
        elsewhere = subclasses[:, None] != subclasses
        positives = ((labels[:, None] == labels) & elsewhere) | same_image
        ranked = similarities(points, points, self.temperatures[labels][:, None])
        coarse = contrast(ranked, evenly(positives), elsewhere | same_image)
        return self.temperature / BASE_TEMPERATURE * fine + self.gamma * coarse

    def on_epoch_start(self, context: Context) -> dict[str, float]:
        """Divide the classes into subclasses anew where it is due, by the first view of the training images.

        Log the number and the sizes of the subclasses, and the range of the temperatures.

        Raises:
            UserError: if a feature is NaN or infinite.
        """
        since = context.epoch - self._warm_up(context)
        if context.stage != REPRESENTATION or not self.cluster_period or since < 0 or since % self.cluster_period:
            return {}
        features, labels, indices = context.collect("train", VIEW)
        with torch.no_grad():
            points, own = self.projector(features).float().cpu(), labels.cpu()
        if broken := int((~points.isfinite()).any(dim=1).sum()):
            raise UserError(
                f"head 'sbcl', stage '{context.stage}', before epoch {context.epoch + 1}: the features of {broken} of "
                f"{len(points)} training images are NaN or infinite, and cannot be clustered; the network diverged, so "
                f"lower the recipe's lr"
            )
        counts = self.subclass_counts.cpu()
        found = cluster(points, own, counts, derive(int(self.seed), context.epoch))
        self.subclasses[indices] = found.to(indices.device)
        self.temperatures.copy_(dynamic_temperatures(points, own, counts, self.temperature, self.temperature_form))
        sizes = torch.bincount(found)
        return {
            "subclasses": float((sizes > 0).sum()),
            "largest_subclass": float(sizes.max()),
            "lowest_temperature": float(self.temperatures.min()),
            "highest_temperature": float(self.temperatures.max()),
        }
