"""A worker of a Ray cluster, without Ray: how it ends."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from headbench.runners.engines.ray_worker import Worker
from headbench.runners.execution import queue
from headbench.runners.execution.workers import Job
from headbench.runners.training.hardware import Share
from tests.runners.helpers import cells, planned


class EndedError(BaseException):
    """In place of the end of the process."""


def test_a_worker_ends_itself_where_a_kernel_has_failed_and_tells_of_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job((), tmp_path, tmp_path, Share("cpu", 1, "fp32"), keep_weights=False, wait=False)
    raised: list[Exception] = [RuntimeError("no such thing"), torch.AcceleratorError("an illegal memory access")]

    def run(*_: Any) -> None:
        raise raised.pop(0)

    def end(status: int) -> None:
        raise EndedError(status)

    monkeypatch.setattr(queue, "run", run)
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr("threading.Thread.start", lambda _: None)
    worker = Worker(job, tmp_path, [], None)
    for _ in range(2):
        worker.train(planned(*cells())[0], None)
    with pytest.raises(EndedError):
        worker._work(job, tmp_path, [], None)
    assert [kind for kind, *_ in worker.news()] == ["ready", "broken"]


def test_a_worker_whose_device_does_not_start_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("CUDA driver initialization failed")

    monkeypatch.setattr("headbench.runners.training.hardware.set_up", fail)
    monkeypatch.setattr("threading.Thread.start", lambda _: None)
    job = Job((), tmp_path, tmp_path, Share("cpu", 1, "fp32"), keep_weights=False, wait=False)
    worker = Worker(job, tmp_path, [], None)
    worker._work(job, tmp_path, [], None)
    ((kind, _, why),) = worker.news()
    assert (kind, why) == ("broken", "RuntimeError: CUDA driver initialization failed")
