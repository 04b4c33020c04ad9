"""What is measured of a training: the chance level of any head's objective, records of an epoch, dead features."""

import math
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.data.loading.epoch import Epoch
from headbench.heads import HEADS, Context, Head
from headbench.heads.psc import PSCHead
from headbench.runners.training import health
from headbench.runners.training.classifier import build
from tests.runners.helpers import CPU, QUICK, cell, digits, train

CONTEXT = Context("train", 0, 2, 0)


def head_of(name: str, dim: int = 9, **options: Any) -> Head:
    return build(
        cell(axes={"head": [{"name": name, **options}], "feature_dim": [dim]}), digits().info(0), bf16=False
    ).head


def epoch(sampler: str) -> Epoch:
    return Epoch(("weak",), cell().recipe.augmentation(), 64, True, sampler, 0, 0)


def chance(head: Head) -> float:
    return health.loss_of(
        head, health.zero(digits().train.labels, 9), digits().train.labels, epoch("instance"), CONTEXT
    )


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("hpn", {"loss_scale": 3}, 3.0),
        ("etf", {"loss_scale": 8}, 4.0),
        ("etf", {"loss_scale": 8, "batch_norm": True, "batch_weights": True}, 4.0),
        ("dl2pa", {"loss_scale": 1}, 1.0),
        ("psc-cosine", {}, math.log(10)),
        ("cosface", {"scale": 30, "margin": 0.35}, math.log(1 + 9 * math.exp(30 * 0.35))),
        ("frozen-linear", {}, math.log(10)),
    ],
)
def test_the_chance_level_is_the_loss_of_equal_scores(name: str, options: dict[str, Any], expected: float) -> None:
    assert chance(head_of(name, **options)) == pytest.approx(expected, rel=0.02)


class Leaky(Head):
    """Writes state in its loss, draws random numbers, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.calls: list[int] = []

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        self.seen: Tensor = self.seen + 1
        self.calls.append(len(targets.labels))
        return torch.rand(()) + features.sum()


def test_measuring_a_loss_moves_nothing() -> None:
    head, before = Leaky(), torch.get_rng_state()
    assert 0 <= chance(head) < 1
    assert head.seen == 0
    assert head.calls == []
    assert torch.equal(torch.get_rng_state(), before)


class Rarest(Head):
    """Its loss is the share of class 9, or which images it was shown."""

    shown: ClassVar[list[int]] = []

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        self.shown.extend(targets.indices.tolist())
        assert torch.equal(features[0, :, 0], targets.indices.float())
        return (targets.labels == 9).double().mean()


@pytest.mark.parametrize(("sampler", "share"), [("instance", 0.02), ("class_balanced", 0.5)])
def test_a_loss_is_that_of_the_images_as_the_stage_samples_them(sampler: str, share: float) -> None:
    labels = torch.where(torch.arange(5000) % 50 == 0, 9, 0)
    Rarest.shown.clear()
    loss = health.loss_of(Rarest(), torch.arange(5000.0)[:, None], labels, epoch(sampler), CONTEXT)
    assert loss == pytest.approx(share, abs=0.08)
    if sampler == "instance":
        assert sorted(Rarest.shown) == [5000 * k // 512 for k in range(512)]


def test_a_head_that_cannot_give_a_loss_has_no_chance_level() -> None:
    assert math.isnan(chance(Head()))


def test_the_record_of_an_epoch() -> None:
    losses = [1.0] * 30
    losses[12:22] = [5.0] * 10
    row = health.of_epoch([torch.tensor(value) for value in losses], [torch.tensor(2.0)] * 29 + [torch.tensor(50.0)])
    assert row == {"first_loss": 1.0, "worst_loss": 5.0, "gradient_norm": 2.0, "gradient_spike": 25.0}
    assert health.of_epoch([torch.tensor(3.0)], [torch.tensor(1.0)])["worst_loss"] == 3.0


def test_the_norm_is_that_of_the_trained_parameters() -> None:
    module = torch.nn.Linear(2, 1)
    module(torch.tensor([[3.0, 4.0]])).backward()
    assert health.gradient_norm(module).item() == pytest.approx(math.sqrt(26))
    module.bias.requires_grad_(False)
    assert health.gradient_norm(module).item() == pytest.approx(5)


def test_constant_features_are_dead() -> None:
    features = torch.randn(100, 4)
    features[:, 1], features[:, 2] = 0, 1e3 + 1e-4 * torch.rand(100)
    assert health.dead_features(features) == 0.5
    assert health.dead_features(1e-8 * torch.randn(100, 4)) == 0


@pytest.mark.parametrize("head", ["psc", "hpn"])
def test_the_loss_of_trained_features_is_below_chance(head: str) -> None:
    run = train(cell(head, recipe=QUICK | {"epochs": 4}), digits(), CPU, lambda _: None)
    assert run.losses["trained_loss"] < 0.9 * run.losses["chance_loss"]
    assert run.features.shape == (len(digits().train), 5)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_chance_level_is_the_lower_of_what_zero_and_the_mean_of_the_features_give(sign: int) -> None:
    class Curved(PSCHead):
        def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
            return sign * torch.tanh(features).square().mean()

    HEADS.register("curved", version=1)(Curved)
    try:
        run = train(cell("curved", recipe=QUICK | {"epochs": 1}), digits(), CPU, lambda _: None)
    finally:
        HEADS.unregister("curved")
    of_the_mean = sign * torch.tanh(run.features.double().mean(dim=0)).square().mean().item()
    assert abs(of_the_mean) > 1e-4
    assert run.losses["chance_loss"] == pytest.approx(min(0, of_the_mean))


class Later(PSCHead):
    """Its loss counts more in each epoch, as deferred weights do."""

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        return (1 + context.epoch) * super().loss(features, targets, context)


def test_the_last_losses_are_those_of_the_last_epoch() -> None:
    HEADS.register("later", version=1)(Later)
    try:
        run = train(cell("later", recipe=QUICK | {"epochs": 3}), digits(), CPU, lambda _: None)
    finally:
        HEADS.unregister("later")
    with torch.no_grad():
        plain = torch.nn.functional.cross_entropy(run.classifier.head.logits(run.features), digits().train.labels)
    assert run.losses["trained_loss"] == pytest.approx(3 * plain.item(), rel=0.1)
    assert run.losses["chance_loss"] == pytest.approx(3 * math.log(10), rel=0.1)
