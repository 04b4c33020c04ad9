"""What a training costs, beside its seconds: the images it showed and the arithmetic of its steps."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from headbench.core.batch import Batch, Targets
from headbench.core.streams import undisturbed
from headbench.data.loading.augment import scaled
from headbench.data.loading.epoch import Part
from headbench.data.loading.features import Features
from headbench.heads import Context, Stage
from headbench.runners.grid.recipes import Recipe
from headbench.runners.training import optimisation
from headbench.runners.training.classifier import Classifier
from headbench.runners.training.hardware import out_of_memory
from headbench.runners.training.loop import contract

Plan = Sequence[tuple[Stage, Recipe]]


def measure(classifier: Classifier, part: Part, plan: Plan, history: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the compute of a training that has ended.

    Args:
        classifier: which was trained.
        part: it was trained on.
        plan: the stages with their recipes.
        history: a row per epoch, in order, with its ``images``.

    Returns:
        ``image_views``: images times views over all stages; ``train_flops``: those of one step of each stage and size
        of its images, forward, backward and of the optimiser, times the images so shown over the step's, None where
        they cannot be counted. Evaluation and the passes that a head makes between epochs are not in either.
    """
    rows = iter(history)
    shown: dict[tuple[int, int | None], int] = {}
    for number, (stage, _) in enumerate(plan):
        for row in islice(rows, stage.epochs):
            kind = number, row.get("side")
            shown[kind] = shown.get(kind, 0) + row["images"]
    views = sum(count * len(plan[number][0].views) for (number, _), count in shown.items())
    try:
        steps = {kind: _fitting(classifier, part, *plan[kind[0]], kind[1]) for kind in shown}
    # A measurement must not end a training.
    except Exception:
        return {"image_views": views, "train_flops": None}
    flops = sum(count * steps[kind][0] / steps[kind][1] for kind, count in shown.items())
    return {"image_views": views, "train_flops": flops}


def _fitting(classifier: Classifier, part: Part, stage: Stage, recipe: Recipe, side: int | None) -> tuple[int, int]:
    """Return the floating-point operations of one step of a stage, a multiplication and an addition being two, and the
    images of its batch, which are scaled to ``side`` pixels.

    They are those of one part of the batch, times the parts; of ever smaller ones where the device has no room, as for
    a batch that several devices have trained.
    """
    size = min(recipe.batch_size // recipe.accumulate, len(part))
    images = recipe.accumulate * size
    while True:
        try:
            passed, stepped = _step(classifier, part, stage, recipe, side, size)
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
            size //= 2
        else:
            return passed * images // size + stepped, images


def _step(
    classifier: Classifier, part: Part, stage: Stage, recipe: Recipe, side: int | None, size: int
) -> tuple[int, int]:
    """Return the operations of a part of a batch forward and backward, and those of the optimiser.

    A copy of the classifier takes it, on noise of the images' shape, and torch's random streams are put back: nothing
    that is trained notices. Torch counts matrix products and convolutions, which are nearly all.
    """
    device = part.labels.device
    positions = torch.arange(size, device=device) * len(part) // size
    targets = Targets.plain(part.labels[positions], positions)
    asked = contract.copied(classifier)
    asked.compiled = False  # torch counts what it runs itself
    asked.set_trainable(stage.trainable)
    with undisturbed([device] if device.type == "cuda" else []):
        shape = part.features.shape[1:] if isinstance(part, Features) else part.image_shape
        images: Tensor = scaled(torch.randn(len(stage.views), size, *shape, device=device), side)
        optimiser = optimisation.optimiser(asked, recipe, stage)
        with FlopCounterMode(display=False) as counter:
            asked(Batch(images, targets), Context(stage.name, stage.epochs - 1, stage.epochs)).backward()
            passed = counter.get_total_flops()
            optimiser.step()
    return passed, counter.get_total_flops() - passed
