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

from headbench.core.errors import UserError
from headbench.core.streams import derive
from headbench.data.loading.epoch import Epoch, Part, batches
from headbench.data.loading.samplers import SAMPLERS
from headbench.data.loading.views import VIEWS
from headbench.heads import Context, Head, Stage
from headbench.runners.grid import recipes
from headbench.runners.grid.config import Cell
from headbench.runners.grid.recipes import OneCycle, Recipe
from headbench.runners.training import evaluate, health, optimisation
from headbench.runners.training.checkpoint import Checkpoints, same_structure
from headbench.runners.training.classifier import Classifier, build
from headbench.runners.training.hardware import Hardware
from headbench.runners.training.parts import Parts


class ForeignStateError(Exception):
    """A checkpoint holds something else than the state of this training."""


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
        features: (N, d) of the training part by the weights of the last epoch.
        losses: the head's own loss of these, ``trained_loss``, and its chance level, ``chance_loss``.
    """

    classifier: Classifier
    history: list[dict[str, Any]] = field(default_factory=list)
    selected: dict[str, Snapshot] = field(default_factory=dict)
    features: Tensor = field(default_factory=lambda: torch.empty(0))
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What the stages of one training share."""

    cell: Cell
    parts: Parts
    trained: Trained
    head_generator: torch.Generator
    on_epoch: Callable[[dict[str, Any]], None]
    checkpoints: Checkpoints | None


def stage_plan(cell: Cell, head: type[Head], train_size: int) -> list[tuple[Stage, Recipe]]:
    """Return the stages of a cell with the recipe of each.

    Raises:
        UserError: if a stage's overrides, views or sampler are unknown, or its batches would be empty.
    """
    plan = []
    for stage in head.stages(cell.recipe, cell.head_options):
        place = f"head '{cell.head}', stage '{stage.name}'"
        if stage.epochs < 1:
            raise UserError(f"{place}: {stage.epochs} epochs; a stage has at least 1")
        recipe = recipes.change(cell.recipe, stage.overrides, place)
        try:
            _ = SAMPLERS.get(stage.sampler), [VIEWS.get(view) for view in stage.views]
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        if not stage.views:
            raise UserError(f"{place}: no views; a stage shows at least one, such as {VIEWS.names()}")
        if recipe.drop_last and train_size < recipe.batch_size:
            raise UserError(
                f"{place}: batch_size {recipe.batch_size} is more than the {train_size} training images, and "
                f"drop_last is set"
            )
        steps = stage.epochs * (
            train_size // recipe.batch_size if recipe.drop_last else math.ceil(train_size / recipe.batch_size)
        )
        if isinstance(recipe.schedule, OneCycle) and recipe.schedule.warmup * steps <= 1:
            raise UserError(
                f"{place}: {steps} steps are too few for a warm-up of {recipe.schedule.warmup:g} of them; more epochs "
                f"or smaller batches"
            )
        plan.append((stage, recipe))
    return plan


def train(
    cell: Cell,
    parts: Parts,
    hardware: Hardware,
    on_epoch: Callable[[dict[str, Any]], None],
    checkpoints: Checkpoints | None = None,
    history: list[dict[str, Any]] | None = None,
) -> Trained:
    """Train one cell, from its checkpoint where it has one.

    Args:
        cell: the cell.
        parts: its data on the device.
        hardware: device and precision.
        on_epoch: called with each finished row of the history.
        checkpoints: where the state is kept at the end of each epoch, and looked for first; or None.
        history: list that the rows of the history are put into as they come, so that they survive a failure; by default
            a new one.

    Raises:
        NonFiniteLossError: at the end of the epoch in which the loss left the finite numbers.
    """
    state = checkpoints.load() if checkpoints else None
    try:
        return _train(cell, parts, hardware, on_epoch, checkpoints, history, state)
    except ForeignStateError:
        assert checkpoints is not None
        checkpoints.set_aside()
        return _train(cell, parts, hardware, on_epoch, checkpoints, history, None)


def _train(
    cell: Cell,
    parts: Parts,
    hardware: Hardware,
    on_epoch: Callable[[dict[str, Any]], None],
    checkpoints: Checkpoints | None,
    history: list[dict[str, Any]] | None,
    state: dict[str, Any] | None,
) -> Trained:
    info = parts.info(cell.seed)
    classifier = build(cell, info, bf16=hardware.bf16).to(hardware.device)
    plan = stage_plan(cell, type(classifier.head), len(parts.train))
    for stage, _ in plan:
        classifier.check_trainable(stage.trainable, f"head '{cell.head}', stage '{stage.name}'")
    run = Run(
        cell, parts, Trained(classifier, [] if history is None else history), info.generator, on_epoch, checkpoints
    )
    torch.manual_seed(derive(cell.seed, "global"))
    first = 0 if state is None else state.get("stage")
    if type(first) is not int or not 0 <= first < len(plan):
        raise ForeignStateError
    for number, (stage, recipe) in enumerate(plan[first:], start=first):
        before = sum(earlier.epochs for earlier, _ in plan[:number])
        _run_stage(run, number, before, stage, recipe, state, last_stage=number == len(plan) - 1)
        state = None
    classifier.set_trainable(())
    run.trained.features = evaluate.embed(classifier, parts.train)
    run.trained.losses = _final_losses(run, *plan[-1])
    return run.trained


def _final_losses(run: Run, stage: Stage, recipe: Recipe) -> dict[str, float]:
    """Return the loss of the trained features and the chance level of the last stage: the lower of what features of
    zero and their mean give.
    """
    features, labels, head = run.trained.features, run.parts.train.labels, run.trained.classifier.head
    context = Context(stage.name, stage.epochs - 1, stage.epochs, 0)
    measure = partial(
        health.loss_of,
        head,
        labels=labels,
        views=len(stage.views),
        batch_size=recipe.batch_size,
        context=context,
    )
    without = [
        measure(features=constant)
        for constant in (features.mean(dim=0, keepdim=True), health.zero(labels, features.shape[1]))
    ]
    return {
        "trained_loss": measure(features=features),
        "chance_loss": min((loss for loss in without if not math.isnan(loss)), default=math.nan),
    }


def _run_stage(
    run: Run, number: int, before: int, stage: Stage, recipe: Recipe, state: dict[str, Any] | None, *, last_stage: bool
) -> None:
    """Train one stage, after ``before`` epochs of earlier ones, or what a checkpoint of it has left."""
    classifier, parts, history = run.trained.classifier, run.parts, run.trained.history
    epochs = [
        Epoch(
            stage.views,
            recipe.augmentation(),
            recipe.batch_size,
            recipe.drop_last,
            stage.sampler,
            run.cell.seed,
            before + k,
        )
        for k in range(stage.epochs)
    ]
    steps = len(epochs[0].slices(len(parts.train)))
    collect = partial(evaluate.collect, classifier, {"train": parts.train, "val": parts.val})
    classifier.set_trainable(stage.trainable)
    if state is None:
        classifier.head.on_stage_start(Context(stage.name, 0, stage.epochs, 0, collect))
    optimiser = optimisation.optimiser(classifier, recipe, stage)
    schedule = optimisation.schedule(optimiser, recipe, stage.epochs, steps)
    finished = 0 if state is None else _restore(run, optimiser, schedule, state, before, stage.epochs)
    for number_in_stage, epoch in enumerate(epochs[finished:], start=finished):
        context = Context(stage.name, number_in_stage, stage.epochs, number_in_stage * steps, collect)
        classifier.set_trainable(stage.trainable)
        logged = classifier.head.on_epoch_start(context)
        row: dict[str, Any] = {
            "epoch": len(history) + 1,
            "stage": stage.name,
            "chance_loss": _chance(run, stage.views, recipe, context),
        }
        row |= _run_epoch(classifier, parts.train, epoch, optimiser, schedule, context)
        if not math.isfinite(row["train_loss"]):
            raise NonFiniteLossError(f"the training loss is {row['train_loss']} in epoch {row['epoch']}")
        logged |= classifier.head.on_epoch_end(replace(context, step=context.step + steps))
        if last_stage:
            row |= {
                "val_top1": evaluate.top1(classifier, parts.val) if len(parts.val) else math.nan,
                "test_top1": evaluate.top1(classifier, parts.test),
            }
        history.append(row | logged)
        if last_stage:
            _select(run.trained, has_val=len(parts.val) > 0)
        if run.checkpoints:
            run.checkpoints.offer(_state(run, number, number_in_stage + 1, optimiser, schedule))
        run.on_epoch(history[-1])


def _chance(run: Run, views: tuple[str, ...], recipe: Recipe, context: Context) -> float:
    """Return what the head's loss is without any information, before an epoch."""
    head, labels = run.trained.classifier.head, run.parts.train.labels
    return health.loss_of(
        head, health.zero(labels, run.cell.feature_dim), labels, len(views), recipe.batch_size, context
    )


def _state(run: Run, stage: int, epochs: int, optimiser: Optimizer, schedule: LRScheduler) -> dict[str, Any]:
    """Return everything that the rest of the training depends on, after some epochs of a stage: copies of what goes on
    changing.
    """
    return {
        "stage": stage,
        "epochs": epochs,
        "classifier": copy.deepcopy(run.trained.classifier.state_dict()),
        "optimiser": copy.deepcopy(optimiser.state_dict()),
        "schedule": copy.deepcopy(schedule.state_dict()),
        "random": torch.get_rng_state(),
        "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "head_random": run.head_generator.get_state(),
        "history": list(run.trained.history),
        "selected": {
            name: {"row": snapshot.row, "state": snapshot.state} for name, snapshot in run.trained.selected.items()
        },
    }


def _restore(
    run: Run, optimiser: Optimizer, schedule: LRScheduler, state: dict[str, Any], before: int, epochs: int
) -> int:
    """Put a checkpoint's state back; return how many epochs of its stage are finished.

    Raises:
        ForeignStateError: if it is not that of such a training, after up to ``epochs`` epochs of this stage and
            ``before`` of earlier ones.
    """
    classifier = run.trained.classifier
    like = {"classifier": classifier.state_dict(), "schedule": schedule.state_dict(), "random": torch.get_rng_state()}
    try:
        finished, rows = state["epochs"], state["history"]
        sound = (
            all(same_structure(state[key], value) for key, value in like.items())
            and type(finished) is int
            and 0 < finished <= epochs
        )
        sound = sound and [row["epoch"] for row in rows] == list(range(1, before + finished + 1))
        sound = sound and all(
            isinstance(row[key], int | float) for row in rows for key in ("train_loss", "images", "seconds")
        )
        selected = {name: Snapshot(**snapshot) for name, snapshot in state["selected"].items()}
        sound = sound and all(
            same_structure(own.state, like["classifier"]) and own.row in rows for own in selected.values()
        )
        optimiser.load_state_dict(state["optimiser"])
        buffers = [
            (value, weight)
            for weight, own in optimiser.state.items()
            for value in own.values()
            if isinstance(value, Tensor) and value.dim()
        ]
        if not sound or any(value.shape != weight.shape for value, weight in buffers):
            raise ForeignStateError
        classifier.load_state_dict(state["classifier"])
        schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        if state["cuda_random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_random"])
        run.head_generator.set_state(state["head_random"])
    except Exception as error:  # whatever foreign contents lead to
        raise ForeignStateError from error
    run.trained.history.extend(rows)
    run.trained.selected.update(selected)
    return int(finished)


def _run_epoch(
    classifier: Classifier, part: Part, epoch: Epoch, optimiser: Optimizer, schedule: LRScheduler, context: Context
) -> dict[str, Any]:
    """Train one epoch; return its mean loss, last learning rate, images, seconds and record of health.

    The device is waited for at the end only.
    """
    start, images, steps = time.perf_counter(), 0, 0
    total = torch.zeros((), device=part.labels.device)
    losses: list[Tensor] = []
    norms: list[Tensor] = []
    for batch in batches(part, epoch):
        loss = classifier(batch, replace(context, step=context.step + steps))
        optimiser.zero_grad()
        loss.backward()
        norms.append(health.gradient_norm(classifier))
        optimiser.step()
        schedule.step()
        classifier.head.after_step()
        total += loss.detach()
        losses.append(loss.detach())
        images, steps = images + len(batch.targets.labels), steps + 1
    mean_loss = total.item() / steps
    seconds = time.perf_counter() - start
    row = {"lr": schedule.get_last_lr()[0], "train_loss": mean_loss, "images": images, "seconds": seconds}
    return row | health.of_epoch(losses, norms)


def _select(run: Trained, *, has_val: bool) -> None:
    """Keep the newest epoch as ``last``, and as a best one where it is strictly better than all before."""
    row = run.history[-1]
    newest = Snapshot(row, copy.deepcopy(run.classifier.state_dict()))
    run.selected["last"] = newest
    for selection, key in (("best_val", "val_top1"), ("best_test", "test_top1")):
        before = run.selected.get(selection)
        if (has_val or key != "val_top1") and (before is None or row[key] > before.row[key]):
            run.selected[selection] = newest
