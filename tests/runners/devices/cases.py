"""Trainings that several devices share, in each of their processes the same."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headbench.backbones import BACKBONES, Backbone
from headbench.core.batch import Targets
from headbench.data.splits import Protocol, partition
from headbench.heads import HEADS, Context
from headbench.heads.psc import PSCHead
from headbench.runners.devices.group import Group
from headbench.runners.devices.helpers import Join
from headbench.runners.training import hardware, parts
from headbench.runners.training.hardware import Hardware, Share
from headbench.runners.training.parts import Parts
from headbench.runners.training.train import Training
from tests.heads.test_contract import REGISTERED, VARIANTS
from tests.runners.helpers import CPU, cell

# A head, its options and changes of the recipe.
Case = tuple[str, dict[str, Any], dict[str, Any]]
# The state of a classifier, its history and its features.
Given = tuple[dict[str, Tensor], list[dict[str, Any]], Tensor]
# Heads that keep something of batches, or whose loss is no mean over samples.
STATISTICS: list[Case] = [
    ("dl2pa", {"loss": "dot-regression", "batch_norm": True, "batch_weights": True, "assignment_period": "step"}, {}),
    ("dl2pa", {"queue": "reference"}, {}),
    ("etf", {"batch_norm": True, "batch_weights": True}, {"accumulate": 3}),
    ("proco", {}, {}),
    ("dnc", {"memory": 10}, {}),
    ("dnc-released", {"period": 2}, {}),
    ("cmf", {}, {"accumulate": 3, "mixup": 0.0}),
    ("nearest-etf", {}, {}),
    ("bcl", {}, {}),
    ("tsc", {}, {}),
    ("sbcl", {"warmup_epochs": 0}, {}),
    ("throwaway", {}, {}),
    ("dropping", {}, {}),
]
EVERY: list[Case] = [
    *((name, {}, {}) for name in REGISTERED),
    *((*variant, {}) for variant in VARIANTS),
    *STATISTICS,
    ("bcl", {}, {"ema": 0.9, "accumulate": 3}),
]


class FixedNorm(nn.BatchNorm1d):
    """A batch normalisation that is always in eval mode."""

    def train(self, mode: bool = True) -> "FixedNorm":
        super().train(False)
        return self


class Still(Backbone):
    """A network to which a batch in portions is the same as the whole."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.num_features = 16
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), 16), FixedNorm(16), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


if "still" not in BACKBONES.names():
    BACKBONES.register("still", version=1)(Still)


class Dropping(PSCHead):
    """A head whose loss draws at random."""

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        return super().loss(nn.functional.dropout(features, 0.5, self.training), targets, context)


if "dropping" not in HEADS.names():
    HEADS.register("dropping", version=1)(Dropping)


class Lasting(Group):
    """A group that goes on after a training."""

    def leave(self) -> None:
        pass


@cache
def some(device: torch.device) -> Parts:
    """A few digits to train and evaluate on, in batches of which none divides among two."""
    dataset = parts.load("digits", {}, Path())
    whole = parts.lay(dataset, partition(dataset, Protocol(0.1)), None, device)
    few = {name: getattr(whole, name).taken(torch.arange(21)) for name in ("val", "test")}
    return replace(whole, train=whole.train.taken(torch.arange(69)), **few)


def trained(
    case: Case, group: Group | None, machine: Hardware = CPU
) -> tuple[dict[str, Tensor], list[dict[str, Any]], Tensor]:
    """Train a head for two epochs; return its state, its history and its features."""
    name, options, changes = case
    recipe = {"base": "fast", "epochs": 2, "batch_size": 27, "lr": 0.01, "schedule": {"name": "cosine"}}
    recipe |= {"pad": 1, "drop_last": False, "mixup": 0.4}
    one = cell({"name": name, **options}, recipe=recipe | changes, axes={"backbone": ["still"], "feature_dim": [9]})
    lasting = None if group is None else Lasting(group.rank, group.size)
    training = Training(one, some(machine.device), replace(machine, group=lasting))
    training.run(lambda row: None)
    return training.classifier.state_dict(), training.history, training.features


def along(cases: list[Case], share: Share, rank: int, join: Join) -> None:
    """Train in another process of the group."""
    machine = hardware.set_up(share, 0, rank)
    group = join(machine.device)
    for case in cases:
        trained(case, group, machine)


def numbers(value: Given) -> Iterator[float]:
    """All numbers of what a training gives, but for its seconds."""
    state, history, features = value
    for tensor in (*state.values(), features):
        yield from tensor.double().flatten().tolist()
    for row in history:
        yield from (float(entry) for key, entry in row.items() if key not in {"seconds", "stage"})
