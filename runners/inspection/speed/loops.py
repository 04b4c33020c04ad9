"""The loops that are timed: the runner's own, the bare one, and one that is stopped after each of its parts."""

import copy
from contextlib import suppress
from typing import Any

import torch

from headbench.data.loading.epoch import batches
from headbench.heads import Context
from headbench.runners.inspection.speed.timing import Action, Watch
from headbench.runners.training import optimisation
from headbench.runners.training.classifier import Classifier
from headbench.runners.training.hardware import Hardware
from headbench.runners.training.train import Training

PARTS = ("data", "forward", "backward", "optimiser", "head")
# Rows of the square matrices whose product is the machine's peak, by device: 17 GFLOP and 1.1 TFLOP.
SIDES = {"cpu": 2048, "cuda": 8192}


class _PausedError(Exception):
    """The epoch that was asked for is over."""


def _pause(row: dict[str, Any]) -> None:
    raise _PausedError


def runner(training: Training) -> Action:
    """Return what trains the next epoch as every cell is trained, and tells its own seconds."""

    def run() -> dict[str, float]:
        with suppress(_PausedError):
            training.run(_pause)
        return {"runner": training.history[-1]["seconds"]}

    return run


def copied(training: Training) -> tuple[Classifier, torch.optim.Optimizer]:
    """Return a copy of the classifier as it stands, ready to learn, with an optimiser of its own."""
    stage, recipe = training.plan[0]
    classifier = copy.deepcopy(training.classifier)
    classifier.set_trainable(stage.trainable)
    return classifier, optimisation.optimiser(classifier, recipe, stage)


def steps_of(training: Training) -> int:
    """Return the steps of an epoch."""
    return len(training.next_epoch().slices(len(training.parts.train)))


def context_of(training: Training) -> Context:
    """Return where training stands: what a head is told in the newest epoch."""
    stage, epoch = training.plan[0][0], len(training.history) - 1
    return training.context(stage.name, stage.epochs, epoch, epoch * steps_of(training))


def bare(training: Training) -> Action:
    """Return what takes as many steps as an epoch on one batch that is there already: forward, loss, backward, step.

    What the head does in a step is part of it.
    """
    classifier, optimiser = copied(training)
    batch, steps = next(batches(training.parts.train, training.next_epoch())), steps_of(training)

    def run() -> dict[str, float]:
        """Take the steps; return their seconds."""
        context, watch = context_of(training), Watch(batch.images.device)
        for _ in range(steps):
            loss = classifier(batch, context)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            classifier.head.after_step()
        watch.lap("bare")
        return watch.spent

    return run


def split(training: Training) -> Action:
    """Return what trains an epoch part by part, and tells the seconds of each of ``PARTS``.

    The head's part is all that it does in a step, with the backward pass through it; the projection counts to the
    network.
    """
    classifier, optimiser = copied(training)
    part, head = training.parts.train, classifier.head

    def run() -> dict[str, float]:
        """Train an epoch; return the seconds of each part."""
        context, watch = context_of(training), Watch(part.labels.device)
        for batch in batches(part, training.next_epoch()):
            watch.lap("data")
            features = classifier.features(batch.images.flatten(0, 1))
            watch.lap("forward")
            seen = features.detach().reshape(*batch.images.shape[:2], -1).requires_grad_()
            with torch.no_grad():
                head.observe(seen.detach(), batch.targets, context)
            loss = head.loss(seen, batch.targets, context)
            watch.lap("head")
            optimiser.zero_grad()
            watch.lap("optimiser")
            torch.autograd.backward(loss)
            watch.lap("head")
            assert seen.grad is not None
            torch.autograd.backward(features, seen.grad.reshape(features.shape))
            watch.lap("backward")
            optimiser.step()
            watch.lap("optimiser")
            head.after_step()
            watch.lap("head")
        return watch.spent

    return run


def product(hardware: Hardware) -> Action:
    """Return what multiplies two large matrices once, in the precision of the backbone."""
    side, dtype = SIDES[hardware.device.type], torch.bfloat16 if hardware.bf16 else torch.float32
    left, right = torch.randn(2, side, side, device=hardware.device).to(dtype)
    result = torch.empty_like(left)

    def run() -> dict[str, float]:
        """Multiply once; return the seconds."""
        watch = Watch(hardware.device)
        torch.mm(left, right, out=result)
        watch.lap("product")
        return watch.spent

    return run


def flops_of_product(hardware: Hardware) -> int:
    """Return the floating-point operations of that product, a multiplication and an addition being two."""
    return 2 * SIDES[hardware.device.type] ** 3
