"""How a grid's cells share a machine."""

import pytest
import torch

from runners import hardware


@pytest.mark.parametrize(
    ("workers", "threads", "cells", "expected"),
    [
        (None, None, 75, (8, 2)),
        (None, None, 3, (3, 5)),
        (None, 4, 75, (4, 4)),
        (None, 99, 75, (1, 99)),
        (2, None, 75, (2, 8)),
        (1, None, 75, (1, 16)),
        (3, 1, 75, (3, 1)),
    ],
)
def test_cores_are_divided_among_the_workers(
    workers: int | None, threads: int | None, cells: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "cores", lambda: 16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert hardware.share(workers, threads, cells, "auto") == expected


@pytest.mark.parametrize(("device", "expected"), [("auto", (4, 4)), ("cuda", (4, 4)), ("cpu", (8, 2))])
def test_each_cuda_device_gets_a_worker(device: str, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cores", lambda: 16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert hardware.share(None, None, 75, device) == expected
