"""A cell on several devices: two processes on a CPU give what one gives."""

import os
import signal
from functools import partial
from typing import Any

import pytest
import torch

from headbench.core.batch import Portion
from headbench.runners.devices.helpers import DeviceLostError, HelperError, Join, together
from headbench.runners.execution import workers
from headbench.runners.training.classifier import divided
from tests.runners.devices.cases import EVERY, STATISTICS, Case, along, numbers, trained
from tests.runners.helpers import CPU, cell


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


def compare(cases: list[Case]) -> None:
    """Train cells by this process and another one together, then by this one alone."""
    workers.CONTEXT.set_forkserver_preload([*workers.PRELOAD, "tests.runners.devices.cases"])
    with together(workers.CONTEXT, 2, CPU.device, partial(along, cases)) as group:
        found = [trained(case, group) for case in cases]
    for case, shared in zip(cases, found, strict=True):
        for one, other in zip(numbers(shared), numbers(trained(case, None)), strict=True):
            assert one == pytest.approx(other, rel=1e-5, abs=1e-5, nan_ok=True), case


def test_two_devices_give_the_numbers_of_one_for_heads_that_keep_statistics() -> None:
    compare(STATISTICS)


@pytest.mark.slow
def test_two_devices_give_the_numbers_of_one_for_every_head() -> None:
    compare(EVERY)


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
