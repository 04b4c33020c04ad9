"""The training loop: the only one, for every head, data set and recipe."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from core.errors import UserError
from core.random import derive
from data.loader import Epoch, Part
from data.views import check_views
from heads import Context, Stage
from runners import evaluate, optimisation, recipes
from runners.classifier import Classifier, build
from runners.config import Cell
from runners.hardware import Hardware
from runners.parts import Parts
from runners.recipes import Recipe


class NonFiniteLossError(Exception):
    """The training loss of an epoch is NaN or infinite."""


@dataclass(frozen=True)
class Snapshot:
    """The weights of one epoch: its row of the history and the ``state_dict``."""

    row: dict[str, Any]
    state: dict[str, Tensor]


@dataclass
class Trained:
    """A trained classifier.

    Attributes:
        classifier: with the weights of the last epoch.
        history: one row per epoch.
        selected: by selection's name, the epoch it chose; ``best_val`` only where there is a validation part.
    """

    classifier: Classifier
    history: list[dict[str, Any]] = field(default_factory=list)
    selected: dict[str, Snapshot] = field(default_factory=dict)


def stage_plan(cell: Cell, head: type[Any], train_size: int) -> list[tuple[Stage, Recipe]]:
    """Return the stages of a cell with the recipe of each.

    Raises:
        UserError: if a stage's overrides or views are unknown, or its batches would be empty.
    """
    plan = []
    for stage in head.stages(cell.recipe):
        place = f"head '{cell.head}', stage '{stage.name}'"
        recipe = recipes.change(cell.recipe, stage.overrides, place)
        check_views(stage.views or head.views, place)
        if recipe.drop_last and train_size < recipe.batch_size:
            raise UserError(f"{place}: batch_size {recipe.batch_size} is more than the {train_size} training images, and drop_last is set")
        plan.append((stage, recipe))
    return plan


def train(cell: Cell, parts: Parts, hardware: Hardware, on_epoch: Callable[[dict[str, Any]], None]) -> Trained:
    """Train one cell.

    Args:
        cell: the cell.
        parts: its data on the device.
        hardware: device and precision.
        on_epoch: called with each finished row of the history.

    Raises:
        NonFiniteLossError: at the end of the epoch in which the loss left the finite numbers.
    """
    classifier = build(cell, parts.info(cell.seed), bf16=hardware.bf16).to(hardware.device)
    plan = stage_plan(cell, type(classifier.head), len(parts.train))
    run = Trained(classifier)
    torch.manual_seed(derive(cell.seed, "global"))
    for number, (stage, recipe) in enumerate(plan):
        _run_stage(run, cell, stage, recipe, parts, on_epoch, last_stage=number == len(plan) - 1)
    classifier.set_trainable(())
    return run


def _run_stage(run: Trained, cell: Cell, stage: Stage, recipe: Recipe, parts: Parts, on_epoch: Callable[[dict[str, Any]], None], *, last_stage: bool) -> None:
    classifier = run.classifier
    views = stage.views or classifier.head.views
    epochs = [
        Epoch(views, recipe.augmentation(), recipe.batch_size, recipe.drop_last, stage.sampler, cell.seed, stage.name, number) for number in range(stage.epochs)
    ]
    steps = len(epochs[0].slices(len(parts.train)))
    classifier.set_trainable(stage.trainable)
    optimiser = optimisation.optimiser(classifier, recipe)
    schedule = optimisation.schedule(optimiser, recipe, stage.epochs, steps)
    collect = partial(evaluate.collect, classifier, {"train": parts.train, "val": parts.val})
    for epoch in epochs:
        context = Context(stage.name, epoch.number, stage.epochs, epoch.number * steps, collect)
        logged = classifier.head.on_epoch_start(context)
        classifier.set_trainable(stage.trainable)
        row: dict[str, Any] = {"epoch": len(run.history) + 1, "stage": stage.name}
        row |= _run_epoch(classifier, parts.train, epoch, optimiser, schedule, context)
        logged |= classifier.head.on_epoch_end(replace(context, step=context.step + steps))
        if not math.isfinite(row["train_loss"]):
            raise NonFiniteLossError(f"the training loss is {row['train_loss']} in epoch {row['epoch']}")
        if last_stage:
            row |= {"val_top1": evaluate.top1(classifier, parts.val) if len(parts.val) else math.nan, "test_top1": evaluate.top1(classifier, parts.test)}
        run.history.append(row | logged)
        if last_stage:
            _select(run, has_val=len(parts.val) > 0)
        on_epoch(run.history[-1])


def _run_epoch(classifier: Classifier, part: Part, epoch: Epoch, optimiser: Optimizer, schedule: LRScheduler, context: Context) -> dict[str, Any]:
    """Train one epoch; return its mean loss, last learning rate, images and seconds. The device is waited for once, at the end."""
    start, images, steps = time.perf_counter(), 0, 0
    total = torch.zeros((), device=part.labels.device)
    for batch in part.batches(epoch):
        loss = classifier(batch, replace(context, step=context.step + steps))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        classifier.head.after_step()
        total += loss.detach()
        images, steps = images + len(batch.targets.labels), steps + 1
    mean_loss = total.item() / steps
    seconds = time.perf_counter() - start
    return {"lr": schedule.get_last_lr()[0], "train_loss": mean_loss, "images": images, "seconds": seconds}


def _select(run: Trained, *, has_val: bool) -> None:
    """Keep the newest epoch as ``last``, and as a best one where it is strictly better than all before."""
    row = run.history[-1]
    newest = Snapshot(row, copy.deepcopy(run.classifier.state_dict()))
    run.selected["last"] = newest
    for selection, key in (("best_val", "val_top1"), ("best_test", "test_top1")):
        before = run.selected.get(selection)
        if (has_val or key != "val_top1") and (before is None or row[key] > before.row[key]):
            run.selected[selection] = newest
