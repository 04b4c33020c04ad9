"""What a head owes the training, by heads that break it: each in one way that Python lets pass."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets
from headbench.core.errors import UserError
from headbench.heads import HEADS, Context, Head
from headbench.runners.training.checkpoint import Checkpoints
from headbench.runners.training.evaluate import predictions
from headbench.runners.training.train import Training
from tests.runners.helpers import CPU, QUICK, cell, digits, train


class Plain(Head):
    """A linear softmax."""

    def __init__(self, info: DataInfo, feature_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, info.num_classes)

    def logits(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(features)
        return scores

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        return F.cross_entropy(self.logits(features[0]), targets.labels)


@contextmanager
def known(head: type[Head]) -> Iterator[Any]:
    """A cell of a head that is registered meanwhile, of two epochs."""
    HEADS.register("of-the-contract", version=1)(head)
    try:
        yield cell("of-the-contract")
    finally:
        HEADS.unregister("of-the-contract")


def refused(head: type[Head], message: str) -> None:
    """Check that a training of such a head ends in one line, with no epoch."""
    rows: list[Any] = []
    with known(head) as one, pytest.raises(UserError, match=message) as caught:
        train(one, digits(), CPU, rows.append)
    assert rows == []
    assert str(caught.value).startswith(f"{head.__name__}")
    assert "\n" not in str(caught.value)


class Bank:
    """Vectors in an object that is no module."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.randn(10, 5))
        self.itself = self


@pytest.mark.parametrize(
    "kept", [lambda: [nn.Linear(5, 10)], lambda: {nn.Linear(5, 10)}, Bank], ids=["list", "set", "object"]
)
def test_modules_that_no_module_has_are_refused(kept: Any) -> None:
    class Hidden(Plain):
        def __init__(self, info: DataInfo, feature_dim: int) -> None:
            super().__init__(info, feature_dim)
            self.experts = kept()

    refused(Hidden, "Hidden: 'experts' holds a parameter that is none of the module's")


@pytest.mark.parametrize("method", ["on_epoch_start", "on_epoch_end"])
@pytest.mark.parametrize("column", ["epoch", "val_top1", "test_nll", "train_loss", "images", "side"])
def test_a_column_of_the_harness_is_not_logged_by_a_head(method: str, column: str) -> None:
    logging = type("Logging", (Plain,), {method: lambda self, context: {column: 1.0}})
    refused(logging, f"Logging logs '{column}', which is a column of the harness; give it another name")


def test_the_columns_of_the_harness_are_all_known() -> None:
    """Those of an epoch on small images too."""
    from headbench.runners.training.loop.contract import OWN

    one = cell("psc", recipe=QUICK | {"epochs": 3, "small": {"side": 6, "until": 0.5}})
    run = train(one, digits(), CPU, lambda row: None)
    assert {name for row in run.history for name in row} == OWN - {"val_nll", "test_nll"}
    trial = train(one.model_copy(update={"purpose": "tune"}), digits(), CPU, lambda row: None)
    assert {name for row in trial.history for name in row} == OWN - {"test_top1", "test_nll"}


def test_a_method_without_a_return_logs_nothing() -> None:
    silent = type("Silent", (Plain,), {"on_epoch_start": lambda self, context: None})
    with known(silent) as one:
        assert len(train(one, digits(), CPU, lambda row: None).history) == 2
    refused(type("Listing", (Plain,), {"on_epoch_end": lambda self, context: [1.0]}), r"no numbers by name.*\[1.0\]")


def moving_in_eval(self: Any, features: Tensor) -> Tensor:
    self.mean = 0.9 * self.mean + 0.1 * features.mean(dim=0)
    scores: Tensor = self.linear(features - self.mean)
    return scores


def test_logits_that_move_a_buffer_are_refused() -> None:
    class Moving(Plain):
        mean: Tensor

        def __init__(self, info: DataInfo, feature_dim: int) -> None:
            super().__init__(info, feature_dim)
            self.register_buffer("mean", torch.zeros(feature_dim))

        logits = moving_in_eval

    refused(Moving, "Moving: logits change 'mean' in eval mode")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"native_scale": lambda self: 2.0}, "native_scale is a property, a number above 0, not <bound method"),
        ({"native_scale": property(lambda self: "2")}, "native_scale is a property, a number above 0, not '2'"),
        ({"native_scale": property(lambda self: -1.0)}, "native_scale is a finite number above 0, not -1"),
        ({"native_scale": property(lambda self: float("nan"))}, "native_scale is a finite number above 0, not nan"),
        ({"prototypes": lambda self: [1.0]}, r"prototypes are a tensor \(C, d\) with C = 10, or None, not \[1.0\]"),
        (
            {"prototypes": lambda self: self.linear.weight.T},
            r"prototypes are a tensor .*, not \(5, 10\)",
        ),
        ({"logits": lambda self, features: [1.0]}, r"logits are a tensor \(B, C\), and not \[1.0\]"),
        ({"loss": lambda self, *_: 1}, "the loss is a tensor, the batch's mean, not 1"),
        ({"loss": lambda self, *_: self.linear.weight.sum().detach()}, "the loss has no gradient; is it detached"),
    ],
)
def test_what_a_head_gives_is_looked_at_before_the_first_step(names: dict[str, Any], message: str) -> None:
    refused(type("Wrong", (Plain,), names), f"Wrong: {message}")


def test_a_scale_of_any_library_is_a_number(tmp_path: Path) -> None:
    from headbench.runners.execution import cell as cells
    from tests.runners.helpers import planned

    scaled = type("Scaled", (Plain,), {"native_scale": property(lambda self: self.linear.bias.exp().sum().detach())})
    with known(scaled) as one:
        (plan,) = planned(one)
        result = cells.run(plan, digits(), tmp_path, CPU, lambda row: None, keep_weights=False)
    assert result["native_scale"] > 0


class Remembering(Plain):
    """Scores by a running mean that is no buffer."""

    def __init__(self, info: DataInfo, feature_dim: int) -> None:
        super().__init__(info, feature_dim)
        self.mean = torch.zeros(feature_dim)

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        self.mean = 0.9 * self.mean + 0.1 * features[0].mean(dim=0)

    def logits(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(features - self.mean)
        return scores


class Unkept(Remembering):
    """The same, in a buffer that is not kept."""

    def __init__(self, info: DataInfo, feature_dim: int) -> None:
        super().__init__(info, feature_dim)
        del self.mean
        self.register_buffer("mean", torch.zeros(feature_dim), persistent=False)


class Growing(Plain):
    """Keeps all features in a buffer."""

    memory: Tensor

    def __init__(self, info: DataInfo, feature_dim: int) -> None:
        super().__init__(info, feature_dim)
        self.register_buffer("memory", torch.zeros(0, feature_dim))

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        self.memory = torch.cat([self.memory, features[0]])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (Remembering, "a head with the same parameters and buffers gives other logits"),
        (Unkept, "a head with the same parameters and buffers gives other logits"),
        (Growing, r"'memory' was not of shape \(\d+, 5\) when training began"),
    ],
)
def test_state_that_no_checkpoint_has_is_refused_after_the_first_epoch(head: type[Head], message: str) -> None:
    refused(head, f"{head.__name__}: {message}.* is a parameter or a buffer")


def test_the_same_state_in_a_buffer_is_as_good_as_any(tmp_path: Path) -> None:
    class Kept(Remembering):
        def __init__(self, info: DataInfo, feature_dim: int) -> None:
            super().__init__(info, feature_dim)
            del self.mean
            self.register_buffer("mean", torch.zeros(feature_dim))

    with known(Kept) as one:
        assert train(one, digits(), CPU, lambda row: None).history[-1]["train_loss"] > 0


class Ridge(Plain):
    """Ridge regression on the first batch of each epoch: what is assigned lies in columns."""

    def __init__(self, info: DataInfo, feature_dim: int) -> None:
        super().__init__(info, feature_dim)
        self.register_buffer("w", torch.zeros(feature_dim, info.num_classes))
        self.register_buffer("tree", torch.eye(3).to_sparse())

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        wide, truth = features[0], F.one_hot(targets.labels, 10).float()
        self.w = torch.linalg.solve(wide.T @ wide + torch.eye(5), wide.T @ truth)

    def logits(self, features: Tensor) -> Tensor:
        scores: Tensor = self.linear(features) + features @ self.w
        return scores

    def get_extra_state(self) -> dict[str, int]:
        return {"seen": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        assert state == {"seen": 1}


def test_buffers_that_lie_otherwise_sparse_ones_and_extra_state_are_state_as_any() -> None:
    with known(Ridge) as one:
        assert len(train(one, digits(), CPU, lambda row: None).history) == 2


def test_a_measurement_of_health_draws_nothing_from_a_training() -> None:
    from headbench.runners.training import health

    with known(Noisy) as one:
        training = Training(one, digits(), CPU)
        before = np.random.get_state(legacy=False), random.getstate()
        nothing = health.zero(digits().train.labels, 5)
        health.loss_of(
            training.classifier.head, nothing, digits().train.labels, training.next_epoch(), training.context("train")
        )
        after = np.random.get_state(legacy=False), random.getstate()
    assert str(before) == str(after)


def test_a_layer_that_is_put_in_anew_where_nothing_trains_it_is_refused() -> None:
    class Replacing(Plain):
        def on_epoch_start(self, context: Context) -> dict[str, float]:
            self.linear = nn.Linear(5, 10)
            return {}

    refused(Replacing, "Replacing: 'linear.weight' is not what it was when the stage began, so that nothing")


def test_a_head_that_computes_in_place_leaves_the_features_as_they_are() -> None:
    """They are looked at again, for the geometry."""

    class InPlace(Plain):
        def logits(self, features: Tensor) -> Tensor:
            scores: Tensor = self.linear(features.relu_())
            return scores

    with known(InPlace) as one:
        training = Training(one, digits(), CPU)
        features = torch.randn(7, 5)
        before = features.clone()
        predictions(training.classifier, features)
    assert torch.equal(features, before)


class Noisy(Plain):
    """Draws from Python's and NumPy's global generators, as many libraries do."""

    def __init__(self, info: DataInfo, feature_dim: int) -> None:
        super().__init__(info, feature_dim)
        with torch.no_grad():
            self.linear.bias.fill_(np.random.rand() + random.random())

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        return super().loss(features * (0.5 + np.random.rand()), targets, context) * (0.5 + random.random())


class StoppedError(Exception):
    pass


def stop(row: Any) -> None:
    raise StoppedError


def test_what_is_drawn_from_the_global_generators_is_the_seeds_own_and_goes_on_after_a_resume(tmp_path: Path) -> None:
    with known(Noisy) as one:
        whole = train(one, digits(), CPU, lambda row: None).history
        random.random(), np.random.rand()
        assert [row["train_loss"] for row in train(one, digits(), CPU, lambda row: None).history] == [
            row["train_loss"] for row in whole
        ]
        with suppress(StoppedError):
            train(one, digits(), CPU, stop, Checkpoints(tmp_path, "noisy", seconds=0))
        random.seed(5)
        np.random.seed(5)
        resumed = train(one, digits(), CPU, lambda row: None, Checkpoints(tmp_path, "noisy")).history
    assert [row["train_loss"] for row in resumed] == [row["train_loss"] for row in whole]
