"""BCL: a classifier beside a contrast in which every class counts the same and is always there."""

from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Options
from headbench.heads.families.contrastive import contrast, distinct, evenly, similarities
from headbench.heads.families.projector import Projector
from headbench.heads.families.two_branches import TwoBranchHead
from headbench.heads.registry import register


@register(
    "bcl",
    version=1,
    display="BCL",
    paper="Zhu et al., CVPR 2022",
    source="losses and projectors of the released code, which is for ImageNet-LT and iNaturalist (hidden 2048, "
    "projection_dim 1024, normed true, temperature 0.07, classification_weight 1, contrastive_weight 0.35); the "
    "defaults are those of its re-implementations for CIFAR",
    deviations="crops of the views keep 8 to 100 % of the image, as in the released code (20 to 100 % in the "
    "re-implementations, which also blur); the normed classifier starts from rows of a linear layer, in the "
    "code from unit rows; with classification_weight 2 a learning rate acts as twice as high, and at that of other "
    "heads training may be unstable: the re-implementations have 0.15 where ProCo, with weight 1, has 0.3",
)
class BCLHead(TwoBranchHead):
    """A classifier with logit adjustment on the first view, and the balanced contrastive loss of the others.

    In the contrast each class is averaged, and has a center that is a projection of its classifier weights.

    Args:
        info: facts of the data.
        feature_dim: d.
        hidden: width of the hidden layer of both projectors.
        projection_dim: p, width of their unit vectors.
        temperature: T of the contrastive loss.
        classification_weight: alpha, factor on the classifier's loss.
        contrastive_weight: beta, factor on the contrastive loss.
        normed: classify by 30 times the cosine with W in place of W h + b.
        loss_scale: factor on the whole loss.
    """

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return the temperature and the weights of both losses, the values for CIFAR and ImageNet-LT within."""
        return {
            "temperature": trial.suggest_float("temperature", 0.03, 0.3, log=True),
            "classification_weight": trial.suggest_float("classification_weight", 0.5, 4.0, log=True),
            "contrastive_weight": trial.suggest_float("contrastive_weight", 0.1, 2.0, log=True),
        }

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        hidden: PositiveInt = 512,
        projection_dim: PositiveInt = 128,
        temperature: PositiveFloat = 0.1,
        classification_weight: NonNegativeFloat = 2.0,
        contrastive_weight: NonNegativeFloat = 0.6,
        normed: bool = False,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(
            info, feature_dim, hidden=hidden, projection_dim=projection_dim, normed=normed, loss_scale=loss_scale
        )
        self.centers = Projector(feature_dim, hidden, projection_dim)
        self.temperature = temperature
        self.classification_weight, self.contrastive_weight = classification_weight, contrastive_weight

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Move the running statistics of both projectors."""
        super().observe(features, targets, context)
        self.centers.observe(self.linear.weight)

    def contrastive(self, z: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return beta x the balanced contrastive loss of projections (N, p) and the centers of all classes."""
        z, labels = context.gather(z, differentiable=True), context.gather(labels)
        return self.contrastive_weight * balanced_contrastive(
            z, labels, self.centers(self.linear.weight), self.temperature
        )


def balanced_contrastive(features: Tensor, labels: Tensor, centers: Tensor, temperature: float) -> Tensor:
    """Return the mean over i of minus the mean over its positives p of
    log(exp(a_i . d_p / T) / sum over k != i of exp(a_i . d_k / T) / N_ik).

    The members d are features and centers, the positives those of the same class, N_ik the number of members of k's
    class, less one (the anchor) where k is a positive. The matrices are N x (N + C): 18 MB each for two views of 256
    images of 8,142 classes.

    Args:
        features: a, unit rows (N, p).
        labels: of the features (N,).
        centers: one unit row per class (C, p), or none (0, p) for the loss without class complement.
        temperature: T.

    Source: Zhu et al., CVPR 2022: class averaging and class complement, as in the released code.
    """
    members = torch.cat([features, centers])
    same = labels[:, None] == torch.cat([labels, torch.arange(len(centers), device=labels.device)])
    others = distinct(features, members)
    positives = same & others
    sizes = same.sum(dim=0) + min(len(centers), 1) - positives.long()
    similarity = similarities(features, members, temperature)
    return contrast(similarity, evenly(positives), others, sizes.to(similarity.dtype).log())
