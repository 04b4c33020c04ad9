"""What is measured of a training to tell whether it learned: gradients, losses, and what the objective gives without
information.
"""

import math

import torch
from torch import Tensor, nn

from headbench.core.batch import Targets
from headbench.core.streams import undisturbed
from headbench.data.loading.epoch import Epoch
from headbench.data.loading.samplers import SAMPLERS
from headbench.heads import Context, Head
from headbench.runners.training.loop import contract

# Batches that a loss without training is measured on.
BATCHES = 8
# Successive steps whose mean loss counts: one batch alone is too noisy.
WINDOW = 10
# Of a feature that is constant, relative to its size.
ROUNDING = 1e-5


def gradient_norm(module: nn.Module) -> Tensor:
    """Return the Euclidean norm of a module's gradient, a scalar on its device; the host does not wait."""
    return nn.utils.get_total_norm([p.grad for p in module.parameters() if p.requires_grad and p.grad is not None])


def of_epoch(losses: list[Tensor], norms: list[Tensor]) -> dict[str, float]:
    """Return an epoch's columns of health in ``history.csv``, from the loss and the gradient's norm of each step.

    The device is waited for once.

    Returns:
        ``first_loss`` of the first step; ``worst_loss``, the highest mean over :data:`WINDOW` successive steps;
        ``gradient_norm``, the median over steps; ``gradient_spike``, the largest norm by the median.
    """
    values, lengths = torch.stack([torch.stack(losses), torch.stack(norms)]).double().cpu()
    worst = values.unfold(0, min(WINDOW, len(values)), 1).mean(dim=1).max()
    median = lengths.median()
    return {
        "first_loss": values[0].item(),
        "worst_loss": worst.item(),
        "gradient_norm": median.item(),
        "gradient_spike": (lengths.max() / median).item(),
    }


@torch.no_grad()
def loss_of(head: Head, features: Tensor, labels: Tensor, epoch: Epoch, context: Context) -> float:
    """Return the head's own loss of given features, the mean over up to :data:`BATCHES` batches that are spread over
    all that the epoch's sampler draws.

    A copy of the head is asked, and torch's random streams are put back: nothing that is trained notices.

    Args:
        head: in its present mode.
        features: (N, d), or one row (1, d) for all images.
        labels: (N,).
        epoch: how often each sample is shown, batch size and sampler.
        context: for the head.

    Returns:
        The loss, NaN where the head cannot give it: a measurement must not end a training.
    """
    drawn = SAMPLERS.get(epoch.sampler).target(labels.cpu(), epoch.stream("health")).sort().values
    size = epoch.batch_size // epoch.parts
    count = min(len(drawn), BATCHES * size)
    positions = drawn[torch.arange(count) * len(drawn) // count].to(labels.device)
    steps, total = max(count // size, 1), torch.zeros((), device=labels.device)
    try:
        with undisturbed([labels.device] if labels.is_cuda else []):
            asked = contract.copied(head)
            for step in range(steps):
                chosen = positions[step::steps]
                shown = features.expand(len(labels), -1)[chosen].expand(len(epoch.views), -1, -1)
                total += asked.loss(shown, Targets.plain(labels[chosen], chosen), context)
    except Exception:
        return math.nan
    return total.item() / steps


def final_losses(head: Head, features: Tensor, labels: Tensor, epoch: Epoch, context: Context) -> dict[str, float]:
    """Return ``trained_loss``, the loss of the trained features (N, d), and ``chance_loss``, the chance level of the
    last stage: the lower of what features of zero and their mean give. The arguments are those of :func:`loss_of`.
    """
    constants = features.mean(dim=0, keepdim=True), zero(labels, features.shape[1])
    without = [loss_of(head, constant, labels, epoch, context) for constant in constants]
    return {
        "trained_loss": loss_of(head, features, labels, epoch, context),
        "chance_loss": min((loss for loss in without if not math.isnan(loss)), default=math.nan),
    }


def zero(labels: Tensor, feature_dim: int) -> Tensor:
    """Return the feature (1, d) that says nothing of any image: what a loss gives for it is the chance level of the
    objective.
    """
    return torch.zeros(1, feature_dim, device=labels.device)


def dead_features(features: Tensor) -> float:
    """Return the share of features (N, d) that are the same for all N images, up to rounding."""
    spread, size = features.amax(dim=0) - features.amin(dim=0), features.abs().amax(dim=0)
    return (spread <= ROUNDING * size).double().mean().item()
