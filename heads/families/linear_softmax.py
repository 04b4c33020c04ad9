"""What heads with a learnable linear layer share: its logits, which are not normalised, and a loss of them."""

from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Head
from headbench.heads.losses import cross_entropy, mixed


class LinearHead(Head):
    """Logits W h + b with learnable W (C, d) and b (C,).

    The loss is :meth:`objective` of these; here the mean cross-entropy.

    Args:
        info: facts of the data.
        feature_dim: d.
        loss_scale: factor on the batch mean of the objective.
    """

    def __init__(self, info: DataInfo, feature_dim: int, *, loss_scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, info.num_classes)
        self.loss_scale = loss_scale

    def prototypes(self) -> Tensor:
        """Return the weight rows (C, d), not normalised."""
        return self.linear.weight

    def logits(self, features: Tensor) -> Tensor:
        """Map features (..., d) to W h + b (..., C)."""
        scores: Tensor = self.linear(features)
        return scores

    def objective(self, scores: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return the mean loss of scores W h + b (N, C) and labels (N,)."""
        return cross_entropy(scores, labels)

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Return loss_scale x the mean objective over views and samples of features (V, B, d)."""

        def objective(scores: Tensor, labels: Tensor) -> Tensor:
            return self.objective(scores, labels, context)

        return self.loss_scale * mixed(objective, self.linear(features), targets)
