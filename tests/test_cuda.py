"""What only a CUDA device can show: the numbers of a CPU, no wait within a step, and the same bits twice.

All of it is skipped where torch finds no such device.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import headbench
from headbench.core.batch import Targets
from headbench.core.streams import generator
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.epoch import Epoch, batches
from headbench.data.loading.resident import Resident
from headbench.data.loading.views import VIEWS
from headbench.data.splits import Protocol, partition
from headbench.heads import Context, Head
from headbench.runners.training import hardware, parts
from headbench.runners.training.hardware import Hardware, Share
from headbench.runners.training.history import Glimpse
from headbench.runners.training.parts import Parts
from headbench.runners.training.train import Training
from tests.heads.helpers import batch, make
from tests.heads.test_contract import REGISTERED, VARIANTS, stages, target, width
from tests.runners.helpers import CPU, QUICK, cell, digits, grid

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
# One of each kind: plain, assigned, statistics with batch normalisation, two stages, views, subclasses, memory.
KINDS: list[Any] = [
    "psc",
    {"name": "dl2pa", "assignment_period": "step"},
    {"name": "etf", "batch_norm": True, "batch_weights": True},
    "crt",
    "tau-norm",
    "bcl",
    "proco",
    "sbcl",
    "dnc",
    "tsc",
]
# Muon, a trapezoid, an alternating flip and small images first, behind a whitening stem.
NEXT: dict[str, Any] = {
    "axes": {"feature_dim": [9], "backbone": [{"name": "whitened_convnet", "widths": [4, 6, 8]}]},
    "recipe": {"base": "fast2", "epochs": 4, "batch_size": 128, "pad": 1, "small": {"side": 6, "until": 0.5}},
}


@pytest.fixture(scope="module")
def gpu() -> Hardware:
    return hardware.set_up(Share("cuda", 1, "fp32"))


@pytest.fixture(scope="module")
def laid(gpu: Hardware) -> Parts:
    """The digits on the device, divided as those of a CPU."""
    dataset = parts.load("digits", {}, Path())
    return parts.lay(dataset, partition(dataset, Protocol(0.1)), None, gpu.device)


@contextmanager
def no_wait() -> Iterator[None]:
    """Make whatever waits for the device an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def to(targets: Targets, device: torch.device) -> Targets:
    return Targets.plain(targets.labels.to(device), targets.indices.to(device))


def step(head: Head, name: str, device: torch.device) -> dict[str, Tensor]:
    """What a head gives for two batches, an epoch's hook between them, in its first stage and in its last."""
    given: dict[str, Tensor] = {}
    head = copy.deepcopy(head).double().to(device)
    for number, stage in enumerate(stages(name)):
        features, targets = batch(5, width(name), 12, len(stage.views), seed=number)
        shown, there = features.detach().double().to(device).requires_grad_(), to(targets, device)
        collected = shown[0].detach(), there.labels, there.indices
        context = Context(stage.name, 5, 10, 3, lambda *_, collected=collected: collected)
        head.on_stage_start(context)
        with torch.no_grad():
            head.observe(shown.detach(), there, context)
        head.on_epoch_start(context)
        head.loss(shown, there, context)
        shown = shown.detach().requires_grad_()
        torch.cuda.synchronize()
        with no_wait():
            with torch.no_grad():
                head.observe(shown.detach().flip(2), there, context)
            loss = head.loss(shown, there, context)
            loss.backward()
            scores = head.logits(shown[0])
        assert shown.grad is not None
        # Copied, since a later stage may change on a CPU what it changes in place.
        given |= {f"{stage.name} {key}": value.cpu().clone() for key, value in head.state_dict().items()}
        given |= {f"{stage.name} loss": loss.detach().cpu(), f"{stage.name} scores": scores.detach().cpu()}
        given |= {f"{stage.name} gradient": shown.grad.cpu()}
    return given


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in REGISTERED), *VARIANTS])
def test_a_head_gives_the_numbers_of_a_cpu_and_no_step_waits(gpu: Hardware, name: str, options: dict[str, Any]) -> None:
    head = make(target(name), 5, width(name), **options)
    here, there = (step(head, name, device) for device in (CPU.device, gpu.device))
    assert here.keys() == there.keys()
    for key, value in here.items():
        assert torch.allclose(value.double(), there[key].double(), rtol=1e-8, atol=1e-9), key


@pytest.mark.parametrize(
    ("view", "policy", "side"),
    [
        ("weak", "", None),
        ("weak", "", 20),
        *(("weak", policy, None) for policy in ("autoaugment", "randaugment-9", "trivial")),
        *((name, "", None) for name in VIEWS.names() if name != "weak"),
    ],
)
def test_views_are_those_of_a_cpu_and_no_step_waits(gpu: Hardware, view: str, policy: str, side: int | None) -> None:
    """But for a value that lies between two levels of grey and is rounded up here, down there."""
    pixels = torch.randint(256, (96, 3, 32, 32), dtype=torch.uint8, generator=generator(0, "pixels"))
    statistics = ((0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
    flip: Any = "alternating" if side else True
    augmentation = Augmentation(pad=4, flip=flip, cutout=8, cutout_fill="black", policy=policy)
    epoch = Epoch((view,), augmentation, 32, False, "instance", 0, 0, side)

    def shown(device: torch.device) -> Tensor:
        labels = torch.arange(96) % 3
        drawn = batches(Resident.of(pixels, torch.arange(96), labels, statistics, device), epoch)
        first = next(drawn).images
        if device.type == "cpu":
            return torch.cat([first, *(each.images for each in drawn)], dim=1)
        torch.cuda.synchronize()
        with no_wait():
            rest = [each.images for each in drawn]
        return torch.cat([first, *rest], dim=1).cpu()

    apart = (shown(CPU.device) - shown(gpu.device)).abs()
    assert (apart > 1e-4).double().mean() < 1e-3


def history(training: Training) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in training.history]


@pytest.mark.parametrize(("head", "changes"), [*((head, {}) for head in KINDS), ("psc", NEXT)], ids=str)
def test_a_training_has_the_same_bits_twice_and_after_a_stop_and_begins_as_on_a_cpu(
    gpu: Hardware, laid: Parts, head: Any, changes: dict[str, Any]
) -> None:
    one = cell(head, **{"axes": {"feature_dim": [9]}, "recipe": QUICK | {"epochs": 4}} | changes)
    whole, states, seen = Training(one, laid, gpu), [], list[Glimpse]()
    whole.run(lambda _: states.append(copy.deepcopy(whole.state_dict())), on_glimpse=seen.append)
    assert {glimpse.epoch for glimpse in seen} == {1, 2, 3, 4}
    assert all(math.isfinite(glimpse.loss) for glimpse in seen if glimpse.loss is not None)
    again = Training(one, laid, gpu)
    again.load_state_dict(states[1])
    again.run(lambda _: None)
    assert str(history(whole)) == str(history(again))
    assert all(torch.equal(value, again.weights()[key]) for key, value in whole.weights().items())
    torch.manual_seed(1)
    twice = Training(one, laid, gpu)
    twice.run(lambda _: None)
    assert all(torch.equal(value, twice.weights()[key]) for key, value in whole.weights().items())
    cpu = Training(one, digits(), CPU)
    cpu.run(lambda _: None)
    for key in ("first_loss", "chance_loss"):
        assert whole.history[0][key] == pytest.approx(cpu.history[0][key], rel=1e-4), key
    for ours, theirs in zip(whole.history, cpu.history, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.1)


def test_several_workers_share_a_device_and_give_the_bits_of_one(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"data": tmp_path, "threads": 1, "device": "cuda", "axes.seed": [0, 1]}
    alone, shared = (
        headbench.run(grid(axes={"head": ["psc", "hpn"]}), out=tmp_path / str(workers), workers=workers, **asked)
        for workers in (1, 2)
    )
    numbers = ["cell_id", "selection", "epoch", "train_loss", "top1", "nll"]
    assert len(alone) == 12
    assert alone[numbers].equals(shared[numbers])
    assert set(alone["precision"]) == {"bf16"}
