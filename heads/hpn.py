"""HPN, hyperspherical prototype networks: separated fixed prototypes and the squared cosine loss."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat

from headbench.core.batch import DataInfo
from headbench.heads.families.fixed_prototypes import FixedPrototypeHead
from headbench.heads.geometry import methods as geometry
from headbench.heads.registry import register


@register(
    "hpn",
    version=4,
    later=("loss", "scale"),
    display="HPN",
    paper="Mettes et al., NeurIPS 2019",
    source="squared cosine loss and maximally separated prototypes, as the paper means them; prototypes 'hpn-pgd' are "
    "those of the released code",
    deviations=(
        "the loss is a batch mean (loss_scale 128 gives the sum over 128, but a smaller last batch then weighs more "
        "than in a sum); "
        "prototypes in closed form or by L-BFGS, not projected gradient descent"
    ),
)
class HPNHead(FixedPrototypeHead):
    """Fixed prototypes of small maximal cosine; loss (1 - cos(z, p_y))^2; predicts the nearest prototype.

    Args:
        info: facts of the data.
        feature_dim: d.
        loss_scale: factor on the batch mean of the loss.
        prototypes: how P is made: ``separated``, ``uniform``, ``simplex``, ``orthoplex``, ``hpn-pgd``, ``ebv`` or
            ``random``, or a file of your own.
        prototype_seed: seed of the prototypes.
        batch_norm: batch normalisation of the features before they are brought to unit length, for features that cannot
            take every direction: without a projection they come out of a ReLU.
        loss: ``squared-cosine``, or, as no paper has it, ``cross-entropy`` on the scaled cosines, which also pushes
            features away from the prototypes of other classes.
        scale: s of the logits s cos; ``adacos`` for sqrt(2) ln(C-1); by default the s at which a vertex of a C-simplex
            has confidence 0.99.
    """

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        loss_scale: PositiveFloat = 1.0,
        prototypes: str = "separated",
        prototype_seed: NonNegativeInt = 0,
        batch_norm: bool = False,
        loss: Literal["squared-cosine", "cross-entropy"] = "squared-cosine",
        scale: PositiveFloat | Literal["adacos"] | None = None,
    ) -> None:
        bank = geometry.make(prototypes, info.num_classes, feature_dim, prototype_seed)
        super().__init__(bank, loss_scale, objective=loss, scale=scale, batch_norm=batch_norm)
