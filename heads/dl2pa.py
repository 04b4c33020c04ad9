"""DL2PA: fixed uniform prototypes whose classes are re-assigned to them every epoch by bipartite matching."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.heads.base import Context, Options
from headbench.heads.families.fixed_prototypes import FixedPrototypeHead, Objective
from headbench.heads.geometry import methods as geometry
from headbench.heads.geometry.assignment import assign
from headbench.heads.registry import register

MOMENTUM = 0.9


@register(
    "dl2pa",
    version=2,
    later=("scale",),
    display="DL2PA",
    paper="Saadabadi et al., CVPR 2024",
    source="balanced loss, class-mean momentum 0.9 and one Hungarian assignment an epoch, as the paper means them; "
    "queue 'reference' is the released code's; assignment_period 'step' is the assignment of TSC (Li et al., CVPR "
    "2022), which solves it at every step",
    deviations=(
        "a class's momentum takes the mean of its samples in the batch and starts at zero (queue 'reference': 1.9 q + "
        "0.1 of its last sample, from noise); "
        "re-assignment happens before an epoch, so that evaluation and weights agree, and with assignment_period "
        "'step' after a step, so that a loss sees the means of the batch before, where TSC's sees its own; the loss is "
        "a batch mean "
        "(loss_scale 128 gives the sum over 128, but a smaller last batch then weighs more than in a sum); "
        "for long tails set loss, batch_norm and batch_weights as the paper does"
    ),
)
class DL2PAHead(FixedPrototypeHead):
    """Fixed uniform prototypes P, a running mean direction Q of each class, and the matching A of both that is most
    similar in total.

    Args:
        info: facts of the data.
        feature_dim: d.
        loss_scale: factor on the batch mean of the loss.
        prototypes: how P is made: ``separated``, ``uniform``, ``simplex``, ``orthoplex``, ``hpn-pgd``, ``ebv`` or
            ``random``, or a file of your own.
        prototype_seed: seed of the prototypes.
        loss: ``squared-cosine`` as on balanced data, ``dot-regression`` as on long tails, or ``cross-entropy`` on the
            scaled cosines.
        batch_weights: E_c = sqrt((B/K)/n_c), the class weights of each batch, in the dot regression; without them 1.
        batch_norm: batch normalisation of the features before they are brought to unit length, as on long tails.
        queue: ``mean``, q_c <- normalise(0.9 q_c + 0.1 mean of the class in the batch), or ``reference``, as the
            released code does: q_c <- normalise(1.9 q_c + 0.1 z) with the class's last sample z, which depends on the
            order of the batch. Under mixup both take mixed features for the unmixed label, as the released code does.
        assignment_period: epochs from one assignment to the next; 0 for none, the static head; ``step`` for one after
            every optimiser step, for which host and device wait for each other.
        freeze_epoch: the first epoch without a new assignment, or None.
        scale: s of the logits s cos; ``adacos`` for sqrt(2) ln(C-1); by default the s at which a vertex of a C-simplex
            has confidence 0.99.
    """

    class_means: Tensor
    assignment: Tensor
    changes: Tensor

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return why these prototypes do not exist in R^d, or which options contradict each other."""
        if not options["assignment_period"] and (options["queue"] != "mean" or options["freeze_epoch"] is not None):
            return "queue and freeze_epoch belong to the assignment, and assignment_period is 0"
        return super().supports(info, feature_dim, options)

    def __init__(
        self,
        info: DataInfo,
        feature_dim: int,
        *,
        loss_scale: PositiveFloat = 1.0,
        prototypes: str = "uniform",
        prototype_seed: NonNegativeInt = 0,
        loss: Objective = "squared-cosine",
        batch_weights: bool = False,
        batch_norm: bool = False,
        queue: Literal["mean", "reference"] = "mean",
        assignment_period: NonNegativeInt | Literal["step"] = 1,
        freeze_epoch: NonNegativeInt | None = None,
        scale: PositiveFloat | Literal["adacos"] | None = None,
    ) -> None:
        bank = geometry.make(prototypes, info.num_classes, feature_dim, prototype_seed)
        super().__init__(
            bank, loss_scale, objective=loss, scale=scale, batch_weights=batch_weights, batch_norm=batch_norm
        )
        self.queue, self.assignment_period, self.freeze_epoch = queue, assignment_period, freeze_epoch
        shape = (info.num_classes, feature_dim)
        self.register_buffer(
            "class_means", torch.zeros(shape) if queue == "mean" else torch.randn(shape, generator=info.generator)
        )
        self.register_buffer("assignment", torch.arange(info.num_classes))
        # Of the step under way: whether it assigns.
        self.every_step = False
        if assignment_period == "step":
            # How many classes moved so far in the epoch under way; kept, so that it can go on where it was stopped.
            self.register_buffer("changes", torch.zeros((), dtype=torch.float64))

    def prototypes(self) -> Tensor:
        """Return each class's assigned prototype (C, d)."""
        return self.bank[self.assignment]

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """Move the running mean direction of every class in the batch."""
        super().observe(features, targets, context)
        self.every_step = self.assignment_period == "step" and not self._frozen(context)
        labels = context.gather(targets.labels.repeat(features.shape[0]))
        z = context.gather(self.directions(features).flatten(0, 1))
        # One-hot labels also find each class's last sample; class_sums would round otherwise than this product, by
        # which the recorded cells were trained.
        members = (labels[:, None] == torch.arange(len(self.bank), device=labels.device)).to(z.dtype)
        counts = members.sum(dim=0)[:, None]
        if self.queue == "mean":
            moved = MOMENTUM * self.class_means + (1 - MOMENTUM) * (members.T @ z / counts.clamp(min=1))
            self.class_means.copy_(torch.where(counts > 0, F.normalize(moved, dim=1), self.class_means))
        else:
            places = torch.arange(1, len(z) + 1, device=z.device, dtype=z.dtype)
            last = (members * places[:, None]).argmax(dim=0)
            moved = (1 + MOMENTUM) * self.class_means + (1 - MOMENTUM) * z[last]
            self.class_means.copy_(F.normalize(torch.where(counts > 0, moved, self.class_means), dim=1))

    def on_epoch_start(self, context: Context) -> dict[str, float]:
        """Re-assign classes to prototypes by the class means so far.

        Log how many classes moved and the total similarity.
        """
        if self.assignment_period == "step":
            self.changes.zero_()
            return {}
        if not self.assignment_period:
            return {}
        return self._match(context.epoch % self.assignment_period == 0 and not self._frozen(context))

    def after_step(self) -> None:
        """Re-assign where every step does so; the host waits for the class means, and solves the matching."""
        if self.every_step:
            self.changes += self._match(due=True)["assignment_changes"]

    def on_epoch_end(self, context: Context) -> dict[str, float]:
        """Log, where every step assigns, the moves of all steps and the total similarity."""
        if self.assignment_period != "step":
            return {}
        return self._match(due=False) | {"assignment_changes": self.changes.item()}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
        # Weights that were kept before it was counted have none.
        if self.assignment_period == "step":
            state_dict.setdefault(f"{prefix}changes", torch.zeros_like(self.changes))
        super()._load_from_state_dict(state_dict, prefix, *more)

    def _frozen(self, context: Context) -> bool:
        """Return whether classes keep the prototypes that they have."""
        return self.freeze_epoch is not None and context.epoch >= self.freeze_epoch

    def _match(self, due: bool) -> dict[str, float]:
        """Assign anew where it is due; return how many classes moved and the total similarity."""
        similarity = (self.class_means @ self.bank.T).cpu()
        old = self.assignment.cpu().clone()
        new = assign(similarity) if due else old
        self.assignment.copy_(new)
        return {
            "assignment_changes": float((new != old).sum()),
            "assignment_similarity": float(similarity.double().gather(1, new[:, None]).sum()),
        }
