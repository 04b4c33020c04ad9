"""What heads with two branches share: a classifier on the first view, and a contrast of the others' projections."""

from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import ONE_DIMENSION, Context, Head, Options, RecipeView, Stage
from headbench.heads.class_counts import log_prior
from headbench.heads.families.projector import Projector
from headbench.heads.losses import cross_entropy, mixed
from headbench.heads.normalisation import unit

SCALE = 30.0
# One to classify, and two to contrast.
VIEWS = ("weak", "simclr", "simclr")


class TwoBranchHead(Head):
    """Cross-entropy of W h + b + log prior on the first view, plus :meth:`contrastive` of the other views' projections.

    Predictions are made without the prior. With one view, only the classifier's loss is left.

    Args:
        info: facts of the data.
        feature_dim: d.
        hidden: width of the projector's hidden layer.
        projection_dim: p, width of its unit vectors.
        normed: classify by 30 times the cosine with W in place of W h + b.
        loss_scale: factor on the whole loss.

    Attributes:
        classification_weight: factor on the classifier's loss.

    Source: Zhu et al. (BCL), CVPR 2022, and Du et al. (ProCo), TPAMI 2024.
    """

    log_prior: Tensor
    classification_weight = 1.0

    def __init__(
        self, info: DataInfo, feature_dim: int, *, hidden: int, projection_dim: int, normed: bool, loss_scale: float
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, info.num_classes, bias=not normed)
        self.projector = Projector(feature_dim, hidden, projection_dim)
        self.register_buffer("log_prior", log_prior(info))
        self.normed, self.loss_scale = normed, loss_scale

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that the normed classifier does not apply at d = 1."""
        return ONE_DIMENSION if options["normed"] and feature_dim == 1 else None

    @property
    def native_scale(self) -> float:
        """The scale of the cosines; 1 for W h + b."""
        return SCALE if self.normed else 1.0

    @classmethod
    def stages(cls, recipe: RecipeView, options: Options) -> list[Stage]:
        """Return one stage, of one view to classify and two to contrast."""
        return [Stage("train", recipe.epochs, views=VIEWS)]

    def prototypes(self) -> Tensor:
        """Return the weight rows (C, d), of unit length where the classifier is normed."""
        return unit(self.linear.weight) if self.normed else self.linear.weight

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to scores (..., C)."""
        if self.normed:
            return SCALE * (unit(features) @ self.prototypes().T)
        scores: Tensor = self.linear(features)
        return scores

    def contrastive(self, z: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the weighted contrastive loss, a scalar.

        Args:
            z: unit vectors (N, p) of all views but the first, view after view.
            labels: of the same (N,).
            context: where training stands.
        """
        raise NotImplementedError

    def contrasted(self, features: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Map features (V, B, d) to the unit vectors (N, p) of all views but the first, and their labels (N,)."""
        # The first view takes part in the batch normalisation, as in the released codes.
        z = self.projector(features)[1:].flatten(0, 1)
        return z, targets.labels.repeat(len(features) - 1)

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Move the running statistics of the projector."""
        self.projector.observe(features)

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x the weighted sum of the classifier's and the contrastive loss of features (V, B, d)."""
        loss = self.classification_weight * mixed(cross_entropy, self.logits(features[:1]) + self.log_prior, targets)
        if len(features) > 1:
            loss = loss + self.contrastive(*self.contrasted(features, targets), context).to(loss.dtype)
        return self.loss_scale * loss
