"""A cell on several devices: two processes on a CPU give what one gives."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from headbench.core.batch import Portion
from headbench.runners.devices.group import join
from headbench.runners.devices.helpers import DeviceLostError, HelperError, Join, together
from headbench.runners.execution import workers
from headbench.runners.training import hardware
from headbench.runners.training.classifier import divided
from headbench.runners.training.hardware import Share
from tests.runners.devices.cases import EVERY, STATISTICS, Case, along, numbers, trained
from tests.runners.helpers import CPU, cell

ON_CPU = Share("cpu", torch.get_num_threads(), "fp32")


@pytest.mark.parametrize(("count", "size"), [(8, 2), (7, 2), (1, 2), (3, 8), (10, 3)])
def test_portions_are_of_one_length_and_all_of_the_batch_in_order(count: int, size: int) -> None:
    rows = [Portion(rank, size).rows(count) for rank in range(size)]
    assert len({len(own) for own in rows}) == 1
    assert torch.cat(rows)[:count].tolist() == list(range(count))


@pytest.mark.parametrize(
    ("backbone", "freeze", "expected"),
    [
        ("fast_convnet", "none", 4),
        ("fast_convnet", "backbone", 1),
        ({"name": "timm", "model": "vit_tiny_patch16_224"}, "none", 1),
        ({"name": "timm", "model": "swin_tiny_patch4_window7_224"}, "none", 4),
    ],
)
def test_devices_are_part_of_a_cell_where_they_change_its_numbers(backbone: Any, freeze: str, expected: int) -> None:
    one = cell(axes={"backbone": [backbone]}, freeze=freeze)
    other = divided(one, 4)
    assert other.devices == expected
    assert (other.cell_id("") == one.cell_id("")) == (expected == 1)


def compare(cases: list[Case], share: Share, size: int = 2) -> None:
    """Train cells by this process and others together, then by this one alone."""
    machine = hardware.set_up(share)
    workers.CONTEXT.set_forkserver_preload([*workers.PRELOAD, "tests.runners.devices.cases"])
    with together(workers.CONTEXT, size, machine.device, partial(along, cases, share)) as group:
        found = [trained(case, group, machine) for case in cases]
    for case, shared in zip(cases, found, strict=True):
        for one, other in zip(numbers(shared), numbers(trained(case, None, machine)), strict=True):
            assert one == pytest.approx(other, rel=1e-5, abs=1e-5, nan_ok=True), case


def test_two_devices_give_the_numbers_of_one_for_heads_that_keep_statistics() -> None:
    compare(STATISTICS, ON_CPU)


@pytest.mark.slow
def test_two_devices_give_the_numbers_of_one_for_every_head() -> None:
    compare(EVERY, ON_CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_cuda_devices_give_the_numbers_of_one() -> None:
    """By NCCL, which has one process per device: with one device a group of one."""
    size = min(torch.cuda.device_count(), 2)
    compare(STATISTICS, Share("cuda", 1, "fp32", devices=size), size)


def test_a_buffer_of_any_layout_is_aligned(tmp_path: Path) -> None:
    """As prototypes of a file that is by dimension; NCCL takes contiguous ones alone."""
    module = torch.nn.Module()
    module.register_buffer("bank", torch.arange(6.0).reshape(2, 3).T)
    group = join(tmp_path / "group", 1, 0, CPU.device)
    try:
        group.align(module)
        group.wait_for_first(CPU.device)
    finally:
        group.leave()
    assert module.get_buffer("bank").tolist() == [[0, 3], [1, 4], [2, 5]]
    assert module.get_buffer("bank").stride() == (1, 3)


def kill_itself(rank: int, join: Join) -> None:
    join(CPU.device)
    os.kill(os.getpid(), signal.SIGKILL)


def err(rank: int, join: Join) -> None:
    join(CPU.device)
    raise ValueError("no such thing")


def test_what_ends_another_process_is_told_by_the_first() -> None:
    for act, expected, message in (
        (kill_itself, DeviceLostError, "device 1 was ended by signal 9"),
        (err, HelperError, "on device 1: ValueError: no such thing"),
    ):
        with pytest.raises(expected, match=message), together(workers.CONTEXT, 2, CPU.device, act) as group:
            group.gathered(torch.zeros(2, 3), 3)
