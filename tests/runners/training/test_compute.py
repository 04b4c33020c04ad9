"""Training compute against a count by hand, and nothing that is trained notices it."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import HEADS, Context
from headbench.heads.psc import PSCHead
from headbench.runners.training import compute
from headbench.runners.training.train import Training
from tests.runners.helpers import CPU, QUICK, cell, digits, train

# Of the small network on 8 x 8 pixels: channels in and out, and side, of each 3 x 3 convolution.
CONVOLUTIONS = [(1, 4, 8), (4, 4, 8), (4, 6, 4), (6, 6, 4), (6, 8, 2), (8, 8, 2)]
FORWARD = [2 * 9 * before * after * side**2 for before, after, side in CONVOLUTIONS]
# Of 8 features onto 5, and of 5 onto 10 classes.
PROJECTION, HEAD = 2 * 8 * 5, 2 * 5 * 10
# Ten whole batches of 128; the first convolution has no gradient of its input, the pixels.
IMAGES = 1280
TRAINED = 3 * sum(FORWARD) - FORWARD[0] + 3 * PROJECTION


def measured(training: Training) -> dict[str, float]:
    return compute.measure(training.classifier, training.parts.train, training.plan, training.history)


def test_one_stage_with_one_view() -> None:
    found = measured(train(cell("psc"), digits(), CPU, lambda _: None))
    assert found == {"image_views": 2 * IMAGES, "train_flops": pytest.approx(2 * IMAGES * (TRAINED + 3 * HEAD))}


def test_two_stages_with_three_views_and_a_frozen_network() -> None:
    """The first stage classifies one of its views; in the second a vector learns, behind everything that is counted."""
    found = measured(train(cell("throwaway"), digits(), CPU, lambda _: None))
    first = 3 * TRAINED + 3 * HEAD
    second = sum(FORWARD) + PROJECTION + HEAD
    assert found == {"image_views": 4 * IMAGES, "train_flops": pytest.approx(IMAGES * (first + second))}


def test_smaller_images_of_the_first_epochs_and_the_steps_of_muon() -> None:
    """Four epochs, three of them on 4 x 4 pixels; a step of Muon, after both parts of a batch, is three products for
    each of its weights.
    """
    muon = {"name": "muon", "lr_factor": 0.1, "momentum": 0.9, "steps": 2}
    recipe = QUICK | {"epochs": 4, "accumulate": 2, "optimiser": muon, "small": {"side": 4, "until": 0.8}}
    found = measured(train(cell("psc", recipe=recipe), digits(), CPU, lambda _: None))
    matrices = [(min(a, b), max(a, b)) for a, b in [(4, 9), (4, 36), (6, 36), (6, 54), (8, 54), (8, 72), (5, 8)]]
    muons = 2 * sum(2 * (2 * small * small * large) + 2 * small**3 for small, large in matrices) / 128
    small = 3 * sum(FORWARD) / 4 - FORWARD[0] / 4 + 3 * PROJECTION
    assert found == {
        "image_views": 4 * IMAGES,
        "train_flops": pytest.approx(IMAGES * (3 * small + TRAINED + 4 * (3 * HEAD + muons))),
    }


@pytest.mark.parametrize("head", ["dl2pa", "throwaway"])
def test_nothing_notices(head: str) -> None:
    """Neither weights and statistics, nor modes and gradients, nor random numbers."""
    training = train(cell(head), digits(), CPU, lambda _: None)
    classifier, history = training.classifier, copy.deepcopy(training.history)
    before = copy.deepcopy(classifier.state_dict()), torch.get_rng_state(), _modes(training)
    measured(training)
    after = classifier.state_dict()
    assert all(torch.equal(before[0][key], after[key]) for key in after)
    assert torch.equal(before[1], torch.get_rng_state())
    assert before[2] == _modes(training)
    assert history == training.history


def _modes(training: Training) -> list[bool]:
    classifier = training.classifier
    return [module.training for module in classifier.modules()] + [p.requires_grad for p in classifier.parameters()]


class Shy(PSCHead):
    """Gives its loss in training only."""

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        if features.shape[1] == 128 and context.epoch == 1:
            raise RuntimeError("not today")
        return super().loss(features, targets, context)


def test_what_cannot_be_counted_is_unknown() -> None:
    HEADS.register("shy", version=1)(Shy)
    try:
        training = Training(cell("shy"), digits(), CPU)
        training.history += [{"images": IMAGES}, {"images": IMAGES}]
        assert measured(training) == {"image_views": 2 * IMAGES, "train_flops": None}
    finally:
        HEADS.unregister("shy")


def test_a_device_without_room_for_the_batch_counts_by_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a training on several devices, each of which had a part of the batch."""
    training, asked = train(cell("psc"), digits(), CPU, lambda _: None), compute._step
    whole = measured(training)

    def small(*arguments: Any) -> tuple[int, int]:
        if arguments[-1] > 40:
            raise torch.cuda.OutOfMemoryError("no room")
        return asked(*arguments)

    monkeypatch.setattr(compute, "_step", small)
    assert measured(training) == whole
    monkeypatch.setattr(compute, "_step", lambda *_: torch.empty(2**50))
    assert measured(training) == whole | {"train_flops": None}
