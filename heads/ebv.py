"""EBV, equiangular basis vectors: fixed prototypes whose absolute cosines are small, and softmax of cosines at a low
temperature.
"""

from pydantic import NonNegativeInt, PositiveFloat

from headbench.core.batch import DataInfo
from headbench.heads.base import Options
from headbench.heads.families.fixed_prototypes import FixedPrototypeHead
from headbench.heads.geometry import methods as geometry
from headbench.heads.psc import Smoothing
from headbench.heads.registry import register


@register(
    "ebv",
    version=1,
    display="EBV",
    paper="Shen et al., CVPR 2023",
    source="cross-entropy with label smoothing 0.1 on cos / 0.07, as the released code",
    deviations="prototypes of the least threshold alpha that annealing finds, instead of a hand-chosen alpha per d; "
    "orthonormal where C <= d",
)
class EBVHead(FixedPrototypeHead):
    """Softmax of cos(z, p_c) / tau with fixed prototypes p_c of small absolute cosines.

    Args:
        info: facts of the data.
        feature_dim: d.
        temperature: tau.
        label_smoothing: part of the target that is spread over all classes.
        prototype_seed: seed of the prototypes.
        loss_scale: factor on the mean cross-entropy.
    """

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return that one dimension has no room for more than two classes."""
        return geometry.unsupported("ebv", info.num_classes, feature_dim)

    @classmethod
    def loss_name(cls, options: Options) -> str:
        """Return cross-entropy."""
        return "cross-entropy"

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        temperature: PositiveFloat = 0.07,
        label_smoothing: Smoothing = 0.1,
        prototype_seed: NonNegativeInt = 0,
        loss_scale: PositiveFloat = 1.0,
    ) -> None:
        bank = geometry.make("ebv", info.num_classes, feature_dim, prototype_seed)
        super().__init__(
            bank, loss_scale, objective="cross-entropy", scale=1 / temperature, label_smoothing=label_smoothing
        )
