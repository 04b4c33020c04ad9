"""The moving average of weights against its recursion in float64, and what is taken from it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Batch, Targets
from headbench.heads import Context
from headbench.runners.training import evaluate
from headbench.runners.training.classifier import Classifier
from headbench.runners.training.loop.average import Average
from headbench.runners.training.train import Training
from tests.runners.helpers import CPU, QUICK, cell, digits, train

DECAY = 0.7


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The weights that averages were given: where they begin, and after each step."""
    given: list[dict[str, Tensor]] = []
    update = Average.update

    def record(self: Average, trained: Classifier) -> None:
        if not given:
            given.append(self.state_dict())
        update(self, trained)
        given.append({key: value.clone() for key, value in trained.state_dict().items()})

    monkeypatch.setattr(Average, "update", record)
    return given


def averaged(head: str | dict[str, Any]) -> Training:
    return train(cell(head, recipe=QUICK | {"ema": DECAY, "batch_size": 320}), digits(), CPU, lambda _: None)


def test_it_does_not_matter_how_often_an_average_is_evaluated() -> None:
    """A head may bring it to where its weights have to lie, which rounds: a trial evaluates one part, a cell two."""
    one = cell("orthonormal", recipe=QUICK | {"ema": 0.9}, axes={"feature_dim": [12]})
    rows: list[list[float]] = []
    for purpose in ("final", "tune"):
        history = train(one.model_copy(update={"purpose": purpose}), digits(), CPU, lambda row: None).history
        rows.append([row["val_top1"] for row in history] + [row["train_loss"] for row in history])
    assert rows[0] == rows[1]
    training = train(one, digits(), CPU, lambda row: None)
    assert training._average is not None
    first = {name: value.clone() for name, value in training._average.evaluated().state_dict().items()}
    again = training._average.evaluated().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


@pytest.mark.parametrize("head", ["dl2pa", {"name": "dl2pa", "batch_norm": True}])
def test_the_average_is_that_of_the_recursion_and_is_what_is_judged(
    seen: list[dict[str, Tensor]], head: str | dict[str, Any]
) -> None:
    """The state of a head is taken as it is, but for the running statistics of its batch norm."""
    training = averaged(head)
    found = training.classifier.state_dict()
    taken = {name for name, _ in training.classifier.head.named_buffers() if not name.startswith("norm.")}
    assert len(seen) == 1 + 2 * 4
    moved = 0
    for name, value in found.items():
        if name.removeprefix("head.") in taken or not value.is_floating_point():
            assert torch.equal(value, seen[-1][name])
            continue
        expected = seen[0][name].double()
        for given in seen[1:]:
            expected = DECAY * expected + (1 - DECAY) * given[name].double()
        assert torch.allclose(value.double(), expected, atol=1e-6)
        moved += not torch.allclose(value, seen[-1][name], atol=1e-3)
    assert moved > 5
    last = training.selected["last"]
    assert all(torch.equal(last.state[name], value) for name, value in found.items())
    assert evaluate.measure(training.classifier, digits().val, ["top1"])["top1"] == last.row["val_top1"]
    assert torch.equal(training.features, evaluate.embed(training.classifier, digits().train))


def test_a_head_brings_its_averaged_weights_back_to_where_they_have_to_lie(seen: list[dict[str, Tensor]]) -> None:
    weight: Tensor = averaged("orthonormal").classifier.state_dict()["head.weight"]
    products = weight @ weight.transpose(1, 2)
    assert torch.allclose(products, torch.eye(weight.shape[1]).expand_as(products), atol=1e-5)


def test_the_next_stage_goes_on_with_the_average_and_begins_another_one(seen: list[dict[str, Tensor]]) -> None:
    head = {"name": "crt", "second_fraction": 0.5}
    training = Training(cell(head, recipe=QUICK | {"ema": DECAY}), digits(), CPU)
    training.run(lambda _: None)
    steps = 10
    assert [row["stage"] for row in training.history] == [stage.name for stage, _ in training.plan]
    assert len(seen) == 1 + 2 * steps
    name = next(iter(dict(training.classifier.backbone.named_parameters(prefix="backbone"))))
    expected = seen[0][name].double()
    for given in seen[1 : steps + 1]:
        expected = DECAY * expected + (1 - DECAY) * given[name].double()
    assert torch.allclose(seen[-1][name].double(), expected, atol=1e-6)


def test_a_batch_in_parts_has_the_gradient_of_the_whole() -> None:
    """Of ten images in parts of 3, 3, 3 and 1, mixed, with batch norm at its running statistics."""
    training = Training(cell("psc", recipe=QUICK | {"batch_size": 128, "accumulate": 4}), digits(), CPU)
    training._begin()
    classifier, labels = training.classifier.eval(), digits().train.labels[:10]
    weight = torch.tensor(0.3)
    targets = Targets(labels, torch.arange(10), ((labels, weight), (labels.flip(0), 1 - weight)))
    images = torch.randn(1, 10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = Batch(images, targets)
    whole = classifier(batch, Context())
    expected = torch.autograd.grad(whole, list(classifier.parameters()))
    loss = training._backward(classifier, batch, Context())
    assert [len(part.targets.labels) for _, part in batch.split(4)] == [3, 3, 3, 1]
    assert torch.allclose(loss, whole)
    for parameter, gradient in zip(classifier.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)
