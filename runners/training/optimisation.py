"""The optimiser and learning-rate schedule of a stage, from its recipe."""

import math
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from headbench.core.errors import UserError
from headbench.heads import Stage
from headbench.runners.grid.optimisers import Cosine, MultiStep, Muon, OneCycle, Trapezoid
from headbench.runners.grid.recipes import Recipe
from headbench.runners.training import muon
from headbench.runners.training.classifier import Classifier


def optimiser(classifier: Classifier, recipe: Recipe, stage: Stage) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over what learns in a stage; the head may group its own parameters.

    Muon takes the weights of the backbone's layers and of the projection; all else, and every head, is SGD's.

    Raises:
        UserError: if nothing learns, or the head's groups leave out something that does.
    """
    groups = [*_body(classifier, recipe), *classifier.head.parameter_groups(recipe, stage)]
    trained = [group | {"params": [p for p in group["params"] if p.requires_grad]} for group in groups]
    used = [group for group in trained if group["params"]]
    held = {id(parameter) for group in used for parameter in group["params"]}
    learns = {name: parameter for name, parameter in classifier.named_parameters() if parameter.requires_grad}
    left_out = [name for name, parameter in learns.items() if id(parameter) not in held]
    if not learns or left_out:
        problem = f"parameter_groups leaves out {', '.join(left_out)}" if left_out else "nothing learns"
        raise UserError(f"stage '{stage.name}': {problem}")
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(used, lr=recipe.lr, weight_decay=recipe.weight_decay)
    kind = torch.optim.SGD if recipe.optimiser == "sgd" else muon.Muon
    return kind(
        used,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def _body(classifier: Classifier, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the parameters of backbone and projection as optimiser groups."""
    plan, parts = recipe.optimiser, (classifier.backbone, classifier.projection)
    body = [parameter for part in parts for parameter in part.parameters()]
    if not isinstance(plan, Muon):
        return [{"params": body}]
    of_muon = muon.matrices(*parts)
    known = {id(weight) for weight in of_muon}
    own = {"lr": plan.lr_factor * recipe.lr, "momentum": plan.momentum, "orthogonal_steps": plan.steps}
    return [{"params": [p for p in body if id(p) not in known]}, {"params": of_muon, **own}]


def schedule(stepped: torch.optim.Optimizer, recipe: Recipe, epochs: int, steps_per_epoch: int) -> LRScheduler:
    """Return the learning-rate schedule of a stage, stepped once per optimiser step."""
    plan, total = recipe.schedule, epochs * steps_per_epoch
    if isinstance(plan, OneCycle):
        peaks = [group["lr"] for group in stepped.param_groups]
        return OneCycleLR(stepped, peaks, total_steps=total, pct_start=plan.warmup, cycle_momentum=False)
    if isinstance(plan, Cosine):
        return LambdaLR(stepped, lambda step: cosine(plan, step, plan.warmup_epochs * steps_per_epoch, total))
    if isinstance(plan, Trapezoid):
        return LambdaLR(stepped, lambda step: trapezoid(plan, step, total))
    return LambdaLR(stepped, lambda step: multi_step(plan, step // steps_per_epoch, epochs))


def multi_step(plan: MultiStep, epoch: int, epochs: int) -> float:
    """Return the factor on the learning rate in an epoch, counted from 0."""
    if epoch < plan.warmup_epochs:
        return (epoch + 1) / plan.warmup_epochs
    passed = sum(epoch >= round(fraction * epochs) for fraction in plan.milestones)
    return plan.gamma**passed


def cosine(plan: Cosine, step: int, warmup: int, total: int) -> float:
    """Return the factor on the learning rate at a step, counted from 0."""
    if step < warmup:
        return plan.warmup_start + (1 - plan.warmup_start) * step / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


def trapezoid(plan: Trapezoid, step: int, total: int) -> float:
    """Return the factor on the learning rate at a step, counted from 0: up, flat and down, in straight lines."""
    return min(1.0, (step + 1) / (plan.up * total), (total - step) / (plan.down * total))
