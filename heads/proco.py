"""ProCo: contrast with the distributions of the classes, in place of with other images."""

from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Options
from headbench.heads.families.class_sums import class_sums
from headbench.heads.families.two_branches import TwoBranchHead
from headbench.heads.families.von_mises_fisher import concentrations, log_moments
from headbench.heads.losses import cross_entropy
from headbench.heads.normalisation import unit
from headbench.heads.registry import register

# The length of the mean of a class that was never seen.
UNSEEN = 0.9
Width = Annotated[int, Field(ge=16)]


@register(
    "proco",
    version=1,
    display="ProCo",
    paper="Du et al., TPAMI 2024",
    source="the loss and the statistics of the released code; CIFAR's settings are the defaults (ImageNet-LT: hidden "
    "2048, projection_dim 1024, normed true, temperature 0.07)",
    deviations=(
        "log I_nu and its derivative by the uniform expansion, where the code's recurrence is off by 0.5 at kappa 1e4; "
        "both contrastive views move the statistics before either is contrasted, in the code the second one after the "
        "first; the random means of classes that were never seen are drawn once, in the code anew every epoch; "
        "statistics are buffers, in the code pickled; the normed classifier starts from rows of a linear layer, in the "
        "code from unit rows"
    ),
)
class ProCoHead(TwoBranchHead):
    """A linear classifier with logit adjustment, and the expected contrastive loss over von Mises-Fisher classes.

    A class's distribution is that of the mean of its projections over the previous epoch and this one so far.

    Args:
        info: facts of the data.
        feature_dim: d.
        hidden: width of the projector's hidden layer.
        projection_dim: p, width of its unit vectors.
        temperature: tau of the contrastive loss.
        contrastive_weight: alpha, factor on the contrastive loss.
        normed: classify by 30 times the cosine with W in place of W h + b.
        loss_scale: factor on the whole loss.
    """

    sums: Tensor
    counts: Tensor
    unseen: Tensor

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return temperature and weight of the contrastive loss, the paper's 0.1 and 1 within."""
        return {
            "temperature": trial.suggest_float("temperature", 0.03, 0.3, log=True),
            "contrastive_weight": trial.suggest_float("contrastive_weight", 0.1, 10.0, log=True),
        }

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        hidden: PositiveInt = 512,
        projection_dim: Width = 128,
        temperature: PositiveFloat = 0.1,
        contrastive_weight: NonNegativeFloat = 1.0,
        normed: bool = False,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(
            info, feature_dim, hidden=hidden, projection_dim=projection_dim, normed=normed, loss_scale=loss_scale
        )
        self.temperature, self.contrastive_weight = temperature, contrastive_weight
        classes = info.num_classes
        # Row 0 is of the previous epoch and this one so far, row 1 of this one alone.
        self.register_buffer("sums", torch.zeros(2, classes, projection_dim))
        self.register_buffer("counts", torch.zeros(2, classes, 1))
        self.register_buffer("unseen", UNSEEN * unit(torch.randn(classes, projection_dim, generator=info.generator)))

    def means(self) -> Tensor:
        """Return the mean projection (C, p) of each class over the previous epoch and this one so far."""
        return torch.where(self.counts[0] > 0, self.sums[0] / self.counts[0].clamp(min=1), self.unseen)

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Add the contrastive views to the statistics of their classes."""
        z, labels = (context.gather(x) for x in self.contrasted(features, targets))
        sums, counts = class_sums(z, labels, len(self.unseen))
        self.sums += sums
        self.counts += counts
        super().observe(features, targets, context)

    def on_epoch_start(self, context: Context) -> dict[str, float]:
        """Forget the epoch before the previous one."""
        for statistic in (self.sums, self.counts):
            statistic[0] = statistic[1]
            statistic[1].zero_()
        return {}

    def on_epoch_end(self, context: Context) -> dict[str, float]:
        """Log how concentrated the classes are: the mean length of their means, and the median kappa."""
        means = self.means()
        return {
            "mean_length": means.norm(dim=1).mean().item(),
            "concentration": concentrations(means).median().item(),
        }

    def contrastive(self, z: Tensor, labels: Tensor, context: Context) -> Tensor:
        """Return alpha x the cross-entropy of log E exp(z . x / tau) + log prior, x of each class's distribution."""
        scores = log_moments(z, self.means(), self.temperature) + self.log_prior
        return self.contrastive_weight * cross_entropy(scores, labels)
