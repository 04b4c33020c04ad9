"""``bench.py speed``: the three loops do the same work, and what is printed and kept of it; no clock is looked at."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.data.loading.epoch import batches
from headbench.heads import HEADS, Context
from headbench.heads.psc import PSCHead
from headbench.runners.commands.main import main
from headbench.runners.inspection.speed import case, loops, rows, textbook, timing
from headbench.runners.inspection.speed.case import Case, Request
from headbench.runners.training import hardware, train
from headbench.runners.training.classifier import Classifier
from headbench.runners.training.train import Training

TINY = "fast_convnet(widths=[4, 6, 8])"
BATCH, STEPS = 6, 2
SMALL = Request(TINY, ("psc",), BATCH, 5, ("fp32",), "cpu", 1, repetitions=2)
seen: list[tuple[int, ...]] = []


class Counting(PSCHead):
    """Notes views, images and epoch of every training step."""

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        if features.requires_grad:
            seen.append((features.shape[0], len(targets.labels), context.epoch))
        return super().loss(features, targets, context)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(case, "CLASSES", 10)
    monkeypatch.setattr(rows, "CLASSES", 10)
    monkeypatch.setitem(case.STEPS, "cpu", STEPS)
    monkeypatch.setitem(loops.SIDES, "cpu", 8)
    HEADS.register("counting", version=1)(Counting)
    seen.clear()
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    HEADS.unregister("counting")


def begun(head: str) -> tuple[Case, Training]:
    """A case, and its training after the first epoch."""
    (one,) = case.cases(replace(SMALL, heads=(head,)))
    training = Training(one.cell, one.parts, one.hardware)
    loops.runner(training)()
    return one, training


@pytest.mark.parametrize("loop", ["bare", "runner", "textbook", "split"])
def test_every_loop_takes_the_same_steps_on_as_many_images(loop: str) -> None:
    one, training = begun("counting")
    action = textbook.textbook(training, one.images) if loop == "textbook" else getattr(loops, loop)(training)
    seen.clear()
    found = action()
    # A textbook's first step is not timed: its workers are under way then.
    warm = int(loop == "textbook")
    assert seen == [(1, BATCH, 1 if loop == "runner" else 0)] * (STEPS + warm)
    assert set(found) == (set(loops.PARTS) if loop == "split" else {loop})


def test_the_loops_train_alike() -> None:
    """Bare and split take the runner's step: on the same batches they end at the same weights."""
    one, training = begun("psc")
    batch = next(batches(one.parts.train, training.next_epoch()))
    copies = list[Classifier]()
    for loop in (loops.bare, loops.split):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loops, "batches", lambda *_: iter([batch] * STEPS))
            patch.setattr(loops, "copied", kept(copies))
            loop(training)()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "batches", lambda *_: iter([batch] * STEPS))
        # The copies begin with an optimiser of their own.
        training._begin(anew=False)
        loops.runner(training)()
    expected = training.classifier.state_dict()
    for found in copies:
        for name, value in found.state_dict().items():
            assert torch.allclose(value, expected[name], atol=1e-6), name


def kept(copies: list[Classifier]) -> Callable[[Training], Any]:
    """What copies a classifier, and keeps the copy."""
    original = loops.copied

    def copied(training: Training) -> Any:
        classifier, optimiser = original(training)
        copies.append(classifier)
        return classifier, optimiser

    return copied


def test_the_runner_is_the_one_of_every_cell() -> None:
    (one,) = case.cases(SMALL)
    training, whole = (Training(one.cell, one.parts, one.hardware) for _ in range(2))
    epoch = loops.runner(training)
    told = [epoch()["runner"] for _ in range(3)]
    whole.run(lambda _: None)
    assert told == [row["seconds"] for row in training.history]
    assert [row["train_loss"] for row in training.history] == [row["train_loss"] for row in whole.history[:3]]


@pytest.mark.parametrize("head", ["proco", "tsc"])
def test_heads_of_several_views_and_stages_are_timed(head: str) -> None:
    (one,) = case.cases(replace(SMALL, heads=(head,)))
    row = rows.measure(one, 2)
    assert row["head"] == head
    assert min(row[f"{loop}_images_per_second"] for loop in rows.LOOPS) > 0


def test_actions_take_turns_and_their_medians_count() -> None:
    """By a clock that is given: the first round does not count, nor does an outlier."""
    clock, order = {"a": iter([99.0, 1.0, 5.0, 2.0]), "b": iter([0.0, 7.0, 8.0, 1000.0])}, []

    def action(name: str) -> timing.Action:
        def run() -> dict[str, float]:
            order.append(name)
            return {name: next(clock[name])}

        return run

    assert timing.medians([action("a"), action("b")], 3) == {"a": 2.0, "b": 8.0}
    assert order == ["a", "b"] * 4


def test_a_watch_adds_what_passes_between_its_laps(monkeypatch: pytest.MonkeyPatch) -> None:
    times, waited = iter([0.0, 1.0, 3.0, 7.0, 15.0]), Counter[str]()
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waited.update([str(device)]))
    watch = timing.Watch(torch.device("cuda", 0))
    for name in ("data", "head", "data", "backward"):
        watch.lap(name)
    assert watch.spent == {"data": 5.0, "head": 2.0, "backward": 8.0}
    assert waited == {"cuda:0": 5}


def test_the_command_prints_a_table_and_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "speed.json"
    words = ["--backbone", TINY, "--head", "psc", "dl2pa(loss_scale=2)", "--batch-size", str(BATCH), "--precision"]
    words += ["fp32", "--device", "cpu", "--threads", "1", "--repetitions", "1", "--feature-dim", "5"]
    assert main(["speed", *words, "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    table = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith("|")]
    assert [line[0].strip() for line in table[2:]] == ["psc", "dl2pa(loss_scale=2.0)"]
    assert {len(line) for line in table} == {3 + len(rows.TITLES)}
    stored = json.loads(file.read_text())
    names = [f"{loop}_images_per_second" for loop in ("bare", "runner", "textbook")]
    assert list(stored)[:3] == names
    first, second = stored["rows"]
    assert [stored[name] for name in names] == [second[name] for name in names]
    assert (stored["head"], stored["batch_size"], stored["feature_dim"]) == ("dl2pa(loss_scale=2.0)", BATCH, 5)
    assert {"processor", "processor_flags", "torch_version", "threads", "precision"} <= stored.keys()
    for row in (first, second):
        assert set(row["shares"]) == {"data", "forward", "backward", "optimiser", "head"}
        assert sum(row["shares"].values()) == pytest.approx(1)
        assert min(row["shares"].values()) > 0
        assert row["flops_per_second"] > 0
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for there in (file, pipe, tmp_path):
        assert main(["speed", *words, "--json", str(there)]) == 2
        assert f"{there} exists, and is not overwritten" in capsys.readouterr().err
    assert pipe.is_fifo()
    assert json.loads(file.read_text()) == stored


def test_flops_are_those_of_the_step() -> None:
    """As often as the runner trains its images, by the count of one of them."""
    (one,) = case.cases(SMALL)
    row = rows.measure(one, 1)
    # Per image: three convolution blocks of 3 x 3, on 32, 16 and 8 pixels, forward and backward.
    convolutions = [(3, 4, 32), (4, 4, 32), (4, 6, 16), (6, 6, 16), (6, 8, 8), (8, 8, 8)]
    forward = [2 * 9 * before * after * side**2 for before, after, side in convolutions]
    dense = 2 * 8 * 5 + 2 * 5 * 10
    each = 3 * sum(forward) - forward[0] + 3 * dense
    assert row["flops_per_second"] == pytest.approx(each * row["runner_images_per_second"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--head", "pcs"], "speed: unknown head 'pcs'; did you mean 'psc'"),
        (["--head", "dl2pa(loss_scal=2)"], "unknown key 'loss_scal'; did you mean 'loss_scale'"),
        (["--head", "dl2pa("], "--head: 'dl2pa(' is not of the form NAME or NAME(key=value, ...)"),
        (["--head", "etf", "--feature-dim", "5"], "speed: head 'etf' on 10 classes: a simplex ETF of 10 classes needs"),
        (["--backbone", "resnet23"], "speed: unknown backbone 'resnet23'; did you mean 'resnet32'"),
        (["--json", "/proc/speed/x.json"], "--json: /proc/speed/x.json cannot be written (No such file or directory)"),
        (["--batch-size", "0"], "--batch-size: 0 is not at least 1"),
        (["--repetitions", "0"], "--repetitions: 0 is not at least 1"),
    ],
)
def test_what_cannot_be_measured_is_said(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "measure", lambda *_: pytest.fail("measured"))
    assert main(["speed", "--device", "cpu", *words]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert message in printed.err


def test_too_little_memory_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "measure", lambda *_: torch.empty(2**50))
    assert main(["speed", "--device", "cpu", "--backbone", TINY, "--batch-size", "4"]) == 2
    assert capsys.readouterr().err == "bench.py: --batch-size: 4 images and the network do not fit the memory\n"


def test_a_stop_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "measure", stop)
    assert main(["speed", "--device", "cpu", "--backbone", TINY, "--batch-size", "4"]) == 130
    assert capsys.readouterr().err == "bench.py: stopped\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("psc", {"name": "psc"}),
        ("hpn(loss_scale=4)", {"name": "hpn", "loss_scale": 4}),
        ("fast_convnet(widths=4-6-8, x=a-1)", {"name": "fast_convnet", "widths": [4, 6, 8], "x": "a-1"}),
        ("fast_convnet(widths=[4, 6, 8], x=a)", {"name": "fast_convnet", "widths": [4, 6, 8], "x": "a"}),
    ],
)
def test_names_with_options(text: str, expected: dict[str, Any]) -> None:
    assert case.named(text, "--head") == expected


def test_a_head_that_chooses_on_validation_is_timed_on_as_many_images() -> None:
    one, training = begun("tau-norm")
    assert len(one.parts.train) == len(one.images) == STEPS * BATCH
    assert len(training.history) == 1


def test_a_precision_that_is_emulated_is_said_to_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda _: False)
    cases = case.cases(replace(SMALL, precisions=("fp32", "bf16")))
    assert [line for line in rows.heading(cases) if "emulated" in line] == [
        "precision: bf16 (emulated here and slow; fp32 is faster)"
    ]
    monkeypatch.setattr(hardware, "has_bf16", lambda _: True)
    assert not any("emulated" in line for line in rows.heading(cases))
