"""Checkpoints: a training that goes on from one ends with the same bits; a damaged one is never used."""

import hashlib
import io
import itertools
import pickle
import random
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from headbench.core.batch import DataInfo, Targets
from headbench.core.streams import undisturbed
from headbench.data.splits import Protocol, partition
from headbench.heads import HEADS, Context
from headbench.heads.psc import PSCHead
from headbench.runners.grid import recipes
from headbench.runners.grid.cells import Cell
from headbench.runners.training import parts
from headbench.runners.training.checkpoint import Checkpoints
from headbench.runners.training.loop import random_states
from headbench.runners.training.parts import Parts
from headbench.runners.training.train import ForeignStateError, Training, resume
from tests.runners.helpers import CPU, QUICK, cell, cells, digits, train


class StoppedError(Exception):
    """Ends a training from within."""


def stop_after(epochs: int) -> Any:
    """An ``on_epoch`` that ends the training after some epochs."""
    seen: list[int] = []

    def on_epoch(row: dict[str, Any]) -> None:
        seen.append(row["epoch"])
        if len(seen) == epochs:
            raise StoppedError

    return on_epoch


def equal(first: Training, second: Training) -> bool:
    """Whether two trainings have the same weights, selections and history, but for the time that they took."""
    timeless = [
        [{key: value for key, value in row.items() if key != "seconds"} for row in run.history]
        for run in (first, second)
    ]
    states = [
        {"last": run.classifier.state_dict()}
        | {f"{name} {k}": v for name, s in run.selected.items() for k, v in s.state.items()}
        for run in (first, second)
    ]
    same = states[0].keys() == states[1].keys()
    flat = [
        torch.cat(
            [
                t.double().flatten()
                for part in state.values()
                for t in (part.values() if isinstance(part, dict) else [part])
            ]
        )
        for state in states
    ]
    return same and timeless[0] == timeless[1] and torch.equal(*flat)


@cache
def long_tailed() -> Parts:
    """The digits with a long tail: on balanced data every class would be one subclass."""
    dataset = parts.load("digits", {}, Path())
    return parts.lay(dataset, partition(dataset, Protocol(0.1, imbalance_factor=10.0)), None, CPU.device)


def started(head: str) -> Cell:
    """A cell of four epochs, of which the first of two stages has three."""
    mixup = 0.5 if head == "dl2pa" else 0.0
    if head == STEPWISE:
        axes = {"head": [{"name": "dl2pa", "assignment_period": "step"}], "feature_dim": [4]}
        return cell("dl2pa", axes=axes, recipe=QUICK | {"epochs": 4, "batch_size": 64})
    return cell(head, recipe=QUICK | {"epochs": 4, "batch_size": 64, "mixup": mixup})


# A head that assigns classes anew in every step.
STEPWISE = "dl2pa, every step"


@cache
def whole(head: str) -> Training:
    """The training of that cell, which nothing stopped."""
    return train(started(head), long_tailed(), CPU, lambda _: None)


# crt draws its new classifier after the third epoch.
@pytest.mark.parametrize(
    ("head", "epochs"), [*itertools.product(["dl2pa", "throwaway", "sbcl", "proco"], [1, 2, 3]), ("crt", 3)]
)
def test_going_on_from_a_checkpoint_ends_with_the_same_bits(head: str, epochs: int, tmp_path: Path) -> None:
    one, data = started(head), long_tailed()
    with pytest.raises(StoppedError):
        train(one, data, CPU, stop_after(epochs), Checkpoints(tmp_path, "id", seconds=0))
    torch.manual_seed(1234)  # what another cell of the same process would leave behind
    rows: list[int] = []
    resumed = train(one, data, CPU, lambda row: rows.append(row["epoch"]), Checkpoints(tmp_path, "id", seconds=0))
    assert rows == list(range(epochs + 1, 5))
    assert equal(whole(head), resumed)
    if head == "sbcl":
        assert resumed.history[1]["subclasses"] > 20


class Cut(Checkpoints):
    """Ends a training after so many steps, with a checkpoint of the last of them."""

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder, "id", seconds=3600)
        self.left = steps

    def is_due(self) -> bool:
        self.left -= 1
        return not self.left

    def write(self) -> None:
        super().write()
        raise StoppedError


AVERAGED = {"accumulate": 2, "ema": 0.9}


# Eight steps an epoch; crt begins its second stage with the 25th, and the last epoch ends with the 32nd.
@pytest.mark.parametrize(
    ("head", "steps", "more"),
    [
        ("dl2pa", 3, {}),
        ("dl2pa", 32, {}),
        (STEPWISE, 3, {}),
        ("tsc", 3, {}),
        ("tsc", 21, {}),
        ("crt", 26, AVERAGED),
        # An average that its head brings back to where its weights have to lie.
        ("orthonormal", 8, {"ema": 0.9}),
        ("orthonormal", 32, {"ema": 0.9}),
    ],
)
def test_going_on_within_an_epoch_ends_with_the_same_bits(
    head: str, steps: int, more: dict[str, Any], tmp_path: Path
) -> None:
    one = started(head)
    one = one.model_copy(update={"recipe": recipes.change(one.recipe, more, "here")})
    undisturbed = train(one, long_tailed(), CPU, lambda _: None) if more else whole(head)
    with pytest.raises(StoppedError):
        train(one, long_tailed(), CPU, lambda _: None, Cut(tmp_path, steps))
    torch.manual_seed(1234)
    rows: list[int] = []
    resumed = train(one, long_tailed(), CPU, lambda row: rows.append(row["epoch"]), Checkpoints(tmp_path, "id"))
    assert rows == list(range((steps - 1) // 8 + 1, 5))
    assert equal(undisturbed, resumed)


class Drawing(PSCHead):
    """Draws from torch's stream in each step, and from its own generator before each epoch."""

    noise: Tensor

    def __init__(self, info: DataInfo, feature_dim: int) -> None:
        super().__init__(info, feature_dim)
        self.generator = info.generator
        self.register_buffer("noise", torch.zeros(()))
        self.masks: list[Tensor] = []

    def on_epoch_start(self, context: Context) -> dict[str, float]:
        self.noise += torch.rand((), generator=self.generator)
        return {}

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        self.masks.append(F.dropout(torch.ones_like(features)))
        return super().loss(features * self.masks[-1] + self.noise, targets, context)


def test_what_a_head_draws_goes_on_where_it_was_and_is_of_the_cells_seed(tmp_path: Path) -> None:
    """Stopped within the first epoch, and after it."""
    data = replace(digits(), train=digits().train.taken(torch.arange(256)))
    HEADS.register("drawing", version=1)(Drawing)
    try:
        one, other = cells(axes={"head": ["drawing"], "seed": [1, 2]}, recipe=QUICK | {"batch_size": 64})
        undisturbed, of_another_seed = (train(each, data, CPU, lambda _: None) for each in (one, other))
        with pytest.raises(StoppedError):
            train(one, data, CPU, lambda _: None, Cut(tmp_path, 2))
        torch.manual_seed(1234)
        with pytest.raises(StoppedError):
            train(one, data, CPU, stop_after(1), Checkpoints(tmp_path, "id", seconds=0))
        torch.manual_seed(1234)
        resumed = train(one, data, CPU, lambda _: None, Checkpoints(tmp_path, "id"))
    finally:
        HEADS.unregister("drawing")
    assert equal(undisturbed, resumed)
    heads: list[Any] = [undisturbed.classifier.head, of_another_seed.classifier.head]
    assert not torch.equal(*(head.masks[0] for head in heads))


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_going_on_with_muon_a_stem_and_a_change_of_size_ends_with_the_same_bits(epochs: int, tmp_path: Path) -> None:
    recipe = QUICK | {"epochs": 4, "small": {"side": 4, "until": 0.5}, "flip": "alternating"}
    recipe["optimiser"] = {"name": "muon", "lr_factor": 0.1, "momentum": 0.93, "steps": 3}
    recipe["schedule"] = {"name": "trapezoid", "up": 0.05, "down": 0.4}
    one = cell("psc", recipe=recipe, axes={"backbone": [{"name": "whitened_convnet", "widths": [4, 6, 8]}]})
    without_a_stop = train(one, digits(), CPU, lambda _: None)
    with pytest.raises(StoppedError):
        train(one, digits(), CPU, stop_after(epochs), Checkpoints(tmp_path, "id", seconds=0))
    torch.manual_seed(1234)
    resumed = train(one, digits(), CPU, lambda _: None, Checkpoints(tmp_path, "id", seconds=0))
    assert equal(without_a_stop, resumed)


def test_a_training_that_had_ended_is_not_trained_again(tmp_path: Path) -> None:
    one = cell("psc")
    whole = train(one, digits(), CPU, lambda _: None, Checkpoints(tmp_path, "id", seconds=0))
    resumed = train(one, digits(), CPU, lambda _: pytest.fail("trained"), Checkpoints(tmp_path, "id"))
    assert equal(whole, resumed)


def test_writes_are_rare_but_the_newest_epoch_can_always_be_written(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "id", seconds=3600)
    checkpoints.offer({"epochs": 1})
    checkpoints.offer({"epochs": 2})
    assert not checkpoints.path.exists()
    checkpoints.write()
    state = Checkpoints(tmp_path, "id").load()
    assert state is not None
    assert state["epochs"] == 2
    checkpoints.remove()
    assert not checkpoints.path.exists()


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "other cell", "other format"])
def test_a_checkpoint_that_cannot_be_used_is_set_aside(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, "other" if damage == "other cell" else "id", seconds=0)
    if damage == "other format":
        monkeypatch.setattr("headbench.runners.training.checkpoint.FORMAT", 99)
    checkpoints.offer({"epochs": 1, "weights": torch.arange(1000.0)})
    monkeypatch.undo()
    content = checkpoints.path.read_bytes()
    if damage == "truncate":
        checkpoints.path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        checkpoints.path.write_bytes(b"")
    elif damage == "flip":
        checkpoints.path.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
    assert Checkpoints(tmp_path, "id").load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt.damaged-1"]
    assert capsys.readouterr().err.count("\n") == 1


def put(*path: str, value: Any) -> Any:
    """A change of one value of a state."""

    def change(state: dict[str, Any]) -> None:
        for key in path[:-1]:
            state = state[key]
        state[path[-1]] = value

    return change


FOREIGN = {
    "nothing": lambda state: state.clear(),
    "stage a text": put("stage", value="x"),
    "stage beyond": put("stage", value=7),
    "epochs beyond": put("epochs", value=99),
    "epochs a tensor": put("epochs", value=torch.ones(3)),
    "no weights": put("classifier", value={}),
    "weights of numbers": put("classifier", value=[1, 2]),
    "optimiser a text": put("optimiser", value="sgd"),
    "momentum of another shape": lambda state: state["optimiser"]["state"][0].update(momentum_buffer=torch.zeros(7)),
    "schedule with a text": put("schedule", "last_epoch", value="x"),
    "another source of the head": put("trained_by", "head_source", value="0123456789abcdef"),
    "another precision": put("trained_by", "precision", value="bf16"),
    "schedule with more": put("schedule", "step", value=3),
    "random a number": put("random", value=3),
    "head's random a number": put("head_random", value=3),
    "history of numbers": put("history", value=[1]),
    "history too short": put("history", value=[]),
    "history of texts": lambda state: state["history"][0].update(seconds="x"),
    "selected a list": put("selected", value=[1]),
    "selected of nothing": put("selected", "last", value={"row": {}, "state": {}}),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_a_state_with_foreign_contents_is_set_aside_and_the_cell_starts_anew(
    change: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its checksum, format and cell are right."""
    one = cell("psc", recipe=QUICK | {"epochs": 2})
    with pytest.raises(StoppedError):
        train(one, digits(), CPU, stop_after(1), Checkpoints(tmp_path, "id", seconds=0))
    checkpoints = Checkpoints(tmp_path, "id", seconds=0)
    state = checkpoints.load()
    assert state is not None
    change(state)
    checkpoints.offer(state)
    rows: list[int] = []
    run = train(one, digits(), CPU, lambda row: rows.append(row["epoch"]), Checkpoints(tmp_path, "id"))
    assert rows == [row["epoch"] for row in run.history] == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt.damaged-1"]
    assert capsys.readouterr().err.count("\n") == 1


def test_a_checkpoint_of_an_earlier_harness_does_not_tell_by_what_it_was_trained(tmp_path: Path) -> None:
    one = cell("psc", recipe=QUICK | {"epochs": 2})
    with pytest.raises(StoppedError):
        train(one, digits(), CPU, stop_after(1), Checkpoints(tmp_path, "id", seconds=0))
    checkpoints = Checkpoints(tmp_path, "id", seconds=0)
    state = checkpoints.load()
    assert state is not None
    assert state.pop("trained_by")["precision"] == "fp32"
    checkpoints.offer(state)
    rows: list[int] = []
    train(one, digits(), CPU, lambda row: rows.append(row["epoch"]), Checkpoints(tmp_path, "id"))
    assert rows == [2]


WITHIN = {
    "of another epoch": put("within", "begun", "epoch", value=7),
    "without losses": put("within", "losses", value=3),
    "beyond the stage": lambda state: state.update(epochs=2, history=state["history"] * 2),
    "without an average": lambda state: state.pop("average"),
    "an average of something else": put("average", value={"weight": torch.ones(2)}),
}


def test_foreign_contents_within_an_epoch_are_no_state_to_go_on_from(tmp_path: Path) -> None:
    one = cell("psc", recipe=QUICK | {"ema": 0.5})
    with pytest.raises(StoppedError):
        train(one, digits(), CPU, lambda _: None, Cut(tmp_path, 12))
    for name, change in {"nothing": lambda _: None, **WITHIN}.items():
        state, training = Checkpoints(tmp_path, "id").load(), Training(one, digits(), CPU)
        assert state is not None
        assert state["epochs"] == 1
        change(state)
        with nullcontext() if name == "nothing" else pytest.raises(ForeignStateError):
            training.load_state_dict(state)


@pytest.mark.parametrize(
    "content", [b"", b"words", pickle.dumps({"format": 1}), pickle.dumps(Path), b"PK\x03\x04", b"\x80\x02."]
)
def test_a_file_of_other_contents_with_a_right_checksum_is_set_aside(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(hashlib.sha256(content).digest() + content)
    assert Checkpoints(tmp_path, "id").load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt.damaged-1"]
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("state", [[1], 5, torch.ones(2), "text", None])
def test_a_checkpoint_that_is_no_state_is_set_aside(state: object, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    (tmp_path / "checkpoint.pt").write_bytes(hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())
    assert Checkpoints(tmp_path, "id").load() is None
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt.damaged-1"]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (torch.optim.SGD, torch.OutOfMemoryError("CUDA out of memory")),
        (torch.optim.SGD, torch.AcceleratorError("an illegal memory access")),
        (torch.optim.SGD, MemoryError()),
        (torch, MemoryError()),
    ],
)
def test_a_checkpoint_that_there_is_no_room_to_load_stays(
    place: Any, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may fill the device for a second."""
    one, data = started("psc"), long_tailed()
    with pytest.raises(StoppedError):
        train(one, data, CPU, stop_after(2), Checkpoints(tmp_path, "id", seconds=0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(place, "load" if place is torch else "load_state_dict", full)
        with pytest.raises(type(error)):
            resume(one, data, CPU, Checkpoints(tmp_path, "id"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert len(resume(one, data, CPU, Checkpoints(tmp_path, "id")).history) == 2


def test_the_draws_of_python_numpy_and_torch_go_on_where_they_were() -> None:
    own = torch.Generator()

    def drawn() -> list[float]:
        return [random.random(), np.random.random(), torch.rand(()).item(), torch.rand((), generator=own).item()]

    with undisturbed():
        states = random_states.kept(CPU.device, own)
        first, second = drawn(), drawn()
        random_states.take_up(states, CPU.device, own, seed=0)
        assert [drawn(), drawn()] == [first, second]
    assert not set(first) & set(second)
