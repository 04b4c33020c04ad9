"""The optimiser and learning-rate schedule of a stage, from its recipe."""

import torch
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from runners.classifier import Classifier
from runners.recipes import OneCycle, Recipe


def optimiser(classifier: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    """Return SGD over the parts that are to be trained; the head may group its own parameters."""
    body = [*classifier.backbone.parameters(), *classifier.projection.parameters()]
    groups = [{"params": body}, *classifier.head.parameter_groups(recipe)]
    trained = [group | {"params": [p for p in group["params"] if p.requires_grad]} for group in groups]
    return torch.optim.SGD(
        [group for group in trained if group["params"]],
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def schedule(sgd: torch.optim.Optimizer, recipe: Recipe, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """Return the learning-rate schedule of a stage, stepped once per optimiser step."""
    plan, total = recipe.schedule, epochs * steps_per_epoch
    if isinstance(plan, OneCycle):
        peaks = [group["lr"] for group in sgd.param_groups]
        return OneCycleLR(sgd, peaks, total_steps=total, pct_start=plan.warmup, cycle_momentum=False)
    return MultiStepLR(sgd, [round(fraction * epochs) * steps_per_epoch for fraction in plan.milestones], plan.gamma)
