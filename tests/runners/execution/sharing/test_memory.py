"""How many workers a card has the memory for."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from headbench.runners.execution import launch
from headbench.runners.execution.plan import Outlines
from headbench.runners.execution.sharing import memory
from headbench.runners.execution.workers import Job
from headbench.runners.training.hardware import Hardware, Share
from tests.runners.helpers import cell, planned

CARD = Hardware(torch.device("cuda"), 1, bf16=True)


def test_what_a_step_keeps_is_counted_by_hand() -> None:
    """Of one convolution, batch normalisation and ReLU: the input, the convolution's output and the ReLU's."""
    from headbench.backbones import BACKBONES, Backbone

    class Plain(Backbone):
        def __init__(self, image_shape: tuple[int, int, int]) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
            self.num_features = 8

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.layers(images)
            return features.mean(dim=(2, 3))

    BACKBONES.register("plain-for-memory", version=1, source="-")(Plain)
    weights, kept, features = memory.network("plain-for-memory", "{}", (3, 16, 16), False)
    assert (weights, features) == (3 * 8 * 9 + 16, 8)
    pixels = 16 * 16 * 4
    assert pixels * (3 + 8 + 8) <= kept <= pixels * (3 + 8 + 8) + 1000, "and the statistics of 8 channels"
    assert memory.network("plain-for-memory", "{}", (3, 16, 16), True)[1] == 0


def test_an_estimate_is_at_least_what_an_h200_took() -> None:
    """``results/measured/lt-short.csv``: 615 MiB with one view and 759 with three, beside the context."""
    outline = replace(
        Outlines(Path()).of(cell()),
        image_shape=(3, 32, 32),
        n_train=10_632,
        n_val=1_000,
        n_test=10_000,
        class_names=tuple(map(str, range(100))),
    )
    for head, measured in (("psc", 615), ("proco", 759)):
        axes = {"backbone": [{"name": "resnet32", "shortcut": "A"}], "feature_dim": [64]}
        one = cell(head, recipe="lt-short", projection="none", axes=axes)
        estimated = (memory.estimate(one, outline, bf16=True) - memory.CONTEXT) / 2**20
        assert measured < estimated < 2 * measured


@pytest.mark.parametrize(
    ("free", "workers", "each", "expected"),
    [
        ([80], 12, 1, 12),
        ([7.5], 12, 1, 7),
        ([0.5], 12, 1, 1),
        ([7.5, 80], 12, 1, 12),
        ([7.5, 3.5], 12, 1, 7),  # three on the second device, and a fourth on the first
        ([80, 0.5], 12, 1, 1),
        ([0.5], 1, 1, 1),  # alone it is not asked
        ([0.5, 0.5], 2, 1, 2),
        ([3.5, 3.5], 4, 2, 3),  # each takes one of both
        ([0.5, 0.5], 1, 2, 1),
    ],
)
def test_workers_without_room_are_not_started_and_one_line_says_why(
    free: list[float],
    workers: int,
    each: int,
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free[device] * 2**30), 0))
    monkeypatch.setattr(memory, "estimate", lambda one, *_, **__: 2**30 if one.head == "etf" else 2**29)
    job = Job((), tmp_path, tmp_path, Share("cuda", 1, "bf16", workers, devices=each), keep_weights=False, wait=True)
    cells = planned(cell("psc"), cell("etf", axes={"feature_dim": [9]}))
    manned = launch.manned(job, CARD, 20, cells, Outlines(tmp_path))
    assert manned.share.workers == expected
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (expected < workers)
    for line in lines:
        assert re.search(
            rf"--workers {workers}: {expected} of them (is|are) started.* 1\.0 GiB \(etf with .*GiB free", line
        )


def test_workers_on_a_cpu_are_not_asked(tmp_path: Path) -> None:
    assert memory.fitting(64, 1, planned(cell()), Outlines(tmp_path), replace(CARD, device=torch.device("cpu"))) == 64
