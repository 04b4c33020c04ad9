"""DL2PA: fixed uniform prototypes whose classes are re-assigned to them every epoch by bipartite matching."""

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from core.batch import DataInfo, Targets
from heads.assignment import assign
from heads.base import Context
from heads.fixed import FixedPrototypeHead, unit
from heads.prototypes import uniform
from heads.registry import register

MOMENTUM = 0.9


@register(
    "dl2pa",
    version=1,
    paper="Saadabadi et al., CVPR 2024",
    source="balanced loss, class-mean momentum 0.9 and one Hungarian assignment an epoch, as the paper means them",
    deviations=(
        "a class's momentum takes the mean of its samples in the batch (the released code keeps 1.9 q + 0.1 of the last one); the class means start at zero "
        "instead of noise; re-assignment happens before an epoch, so that evaluation and weights agree; the loss is a batch mean (loss_scale 128 gives the sum)"
    ),
)
class DL2PAHead(FixedPrototypeHead):
    """Fixed uniform prototypes, a running mean direction per class, and the matching of both that is most similar in total.

    Args:
        info: facts of the data.
        feature_dim: d.
        loss_scale: factor on the batch mean of (1 - cos(z, p_y))^2.
        prototype_seed: seed of the prototypes' random starts.
    """

    class_means: Tensor
    assignment: Tensor

    def __init__(self, info: DataInfo, feature_dim: int, *, loss_scale: PositiveFloat = 1.0, prototype_seed: NonNegativeInt = 0) -> None:
        super().__init__(uniform(info.num_classes, feature_dim, prototype_seed), loss_scale)
        self.register_buffer("class_means", torch.zeros(info.num_classes, feature_dim))
        self.register_buffer("assignment", torch.arange(info.num_classes))

    def prototypes(self) -> Tensor:
        """Return each class's assigned prototype (C, d)."""
        return self.bank[self.assignment]

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Move the mean of every class in the batch: q_c <- normalise(0.9 q_c + 0.1 mean of its unit features)."""
        labels = context.gather(targets.labels.repeat(features.shape[0]))
        z = context.gather(unit(features).flatten(0, 1))
        # A product with one-hot labels, because index_add is not deterministic on CUDA.
        members = (labels[:, None] == torch.arange(len(self.bank), device=labels.device)).to(z.dtype)
        counts = members.sum(dim=0)[:, None]
        means = members.T @ z / counts.clamp(min=1)
        moved = F.normalize(MOMENTUM * self.class_means + (1 - MOMENTUM) * means, dim=1)
        self.class_means.copy_(torch.where(counts > 0, moved, self.class_means))

    def on_epoch_start(self, context: Context) -> dict[str, float]:
        """Re-assign classes to prototypes by the class means so far; log how many classes moved and the total similarity."""
        new, total = assign(self.class_means @ self.bank.T)
        changes = int((new != self.assignment.cpu()).sum())
        self.assignment.copy_(new)
        return {"assignment_changes": float(changes), "assignment_similarity": total}
