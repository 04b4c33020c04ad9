"""What a training costs, beside its seconds: the images it showed and the arithmetic of its steps."""

import copy
from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from headbench.core.batch import Batch, Targets
from headbench.data.loading.epoch import Part
from headbench.data.loading.features import Features
from headbench.heads import Context, Stage
from headbench.runners.grid.recipes import Recipe
from headbench.runners.training.classifier import Classifier

Plan = Sequence[tuple[Stage, Recipe]]


def measure(classifier: Classifier, part: Part, plan: Plan, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the compute of a training that has ended.

    Args:
        classifier: which was trained.
        part: it was trained on.
        plan: the stages with their recipes.
        history: a row per epoch, in order, with its ``images``.

    Returns:
        ``image_views``: images times views over all stages; ``train_flops``: those of one step of each stage, forward
        and backward, times the stage's images over the step's, None where they cannot be counted. Evaluation and the
        passes that a head makes between epochs are not in either.
    """
    rows = iter(history)
    images = [sum(row["images"] for row in islice(rows, stage.epochs)) for stage, _ in plan]
    views = sum(count * len(stage.views) for count, (stage, _) in zip(images, plan, strict=True))
    try:
        steps = [_step(classifier, part, stage, recipe) for stage, recipe in plan]
    # A measurement must not end a training.
    except Exception:
        return {"image_views": views, "train_flops": None}
    flops = sum(count * each / size for count, (each, size) in zip(images, steps, strict=True))
    return {"image_views": views, "train_flops": flops}


def _step(classifier: Classifier, part: Part, stage: Stage, recipe: Recipe) -> tuple[int, int]:
    """Return the floating-point operations of one step of a stage, a multiplication and an addition being two, and the
    images of its batch.

    A copy of the classifier takes it, on noise of the images' shape, and torch's random streams are put back: nothing
    that is trained notices. Torch counts matrix products and convolutions, which are nearly all.
    """
    device, size = part.labels.device, min(recipe.batch_size, len(part))
    positions = torch.arange(size, device=device) * len(part) // size
    targets = Targets.plain(part.labels[positions], positions)
    asked = copy.deepcopy(classifier)
    asked.set_trainable(stage.trainable)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        shape = part.features.shape[1:] if isinstance(part, Features) else part.image_shape
        images: Tensor = torch.randn(len(stage.views), size, *shape, device=device)
        with FlopCounterMode(display=False) as counter:
            asked(Batch(images, targets), Context(stage.name, stage.epochs - 1, stage.epochs)).backward()
    return counter.get_total_flops(), size
