"""How a grid's cells share a machine."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from headbench.core.errors import UserError
from headbench.runners.training import hardware
from headbench.runners.training.hardware import Share


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


def test_each_worker_has_devices_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "cores", lambda: 16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert hardware.share(None, None, 75, "auto", 4) == (2, 2)
    share = Share("cuda", 2, "fp32", 2, devices=4)
    assert [hardware.device_of(share, worker, rank).index for worker in (0, 1) for rank in range(4)] == list(range(8))
    for workers, devices in ((1, 9), (3, 4)):
        with pytest.raises(UserError, match=f"--devices {devices}.*torch finds 8 CUDA devices here"):
            hardware.share(workers, None, 75, "auto", devices)
    assert hardware.share(None, None, 75, "cpu", 2) == (4, 2)


@pytest.mark.parametrize(("device", "expected"), [("auto", (4, 4)), ("cuda", (4, 4)), ("cpu", (8, 2))])
def test_each_cuda_device_gets_a_worker(
    device: str, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "cores", lambda: 16)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert hardware.share(None, None, 75, device) == expected


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/", {}, 16),
        ("0::/", {"cpu.max": "max 100000\n"}, 16),
        ("0::/", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/", {"cpu.max": "3200000 100000\n"}, 16),
        ("0::/", {"cpu.max": "nonsense"}, 16),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/../x", {"cpu.max": "300000 100000"}, 3),
        ("12:memory:/\n0::/a", {"unified/a/cpu.max": "400000 100000"}, 4),
        (
            "4:cpu,cpuacct:/\n3:cpuset:/",
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            16,
        ),
        ("4:cpu,cpuacct:/", {"cpu,cpuacct/cpu.cfs_quota_us": "250000", "cpu,cpuacct/cpu.cfs_period_us": "50000"}, 5),
        ("1:cpu:/docker/abc", {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "0"}, 16),
        ("1:cpuset:/", {"cpuset/cpu.cfs_quota_us": "100000", "cpuset/cpu.cfs_period_us": "100000"}, 16),
    ],
)
def test_a_quota_of_the_control_group_counts(
    groups: str, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    for path, text in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": content for name, content in files.items()},
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert hardware.cores(tmp_path) == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SLURM_CPUS_PER_TASK": "3"}, 3),
        ({"SLURM_CPUS_PER_TASK": "1", "SLURM_CPUS_ON_NODE": "8"}, 1),
        ({"SLURM_CPUS_ON_NODE": "2"}, 2),
        ({"SLURM_CPUS_PER_TASK": "64"}, 16),
        ({"SLURM_CPUS_PER_TASK": "", "SLURM_CPUS_ON_NODE": "many"}, 16),
        ({"SLURM_CPUS_PER_TASK": "0"}, 1),
    ],
)
def test_a_share_of_a_slurm_job_counts(
    variables: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hardware.cores(tmp_path) == expected


def test_workers_on_a_cpu_share_it() -> None:
    assert hardware.set_up(Share("cpu", 1, "fp32")).cells_per_device == 1
    assert hardware.set_up(Share("cpu", 1, "fp32", 3), 2).cells_per_device == 3


def test_workers_are_spread_over_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    assert [hardware.set_up(Share("cuda", 1, "fp32", 3), worker).cells_per_device for worker in range(3)] == [2, 1, 2]


def test_float32_is_float32_whatever_the_process_had_before() -> None:
    torch.set_float32_matmul_precision("high")
    hardware.set_up(Share("cpu", 1, "fp32"))
    assert torch.get_float32_matmul_precision() == "highest"


def test_convolutions_of_float32_are_exact_whatever_the_process_had_before() -> None:
    """Only a CPU with bfloat16 would be inexact; and torch says of every kind of product that it is exact."""
    images, filters = torch.randn(2, 16, 8, 8), torch.randn(16, 16, 3, 3)
    exact = F.conv2d(images.double(), filters.double())
    for kind in hardware.products():
        kind.fp32_precision = "tf32"
    if hasattr(torch.backends.mkldnn, "conv"):
        torch.backends.mkldnn.conv.fp32_precision = "bf16"
    hardware.set_up(Share("cpu", 1, "fp32"))
    assert {kind.fp32_precision for kind in hardware.products()} <= {"ieee"}
    torch.testing.assert_close(F.conv2d(images, filters).double(), exact, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", hardware.FPMATH)
def test_an_environment_in_which_no_fp32_would_be_one_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for harmless in ("STRICT", ""):
        monkeypatch.setenv(name, harmless)
        hardware.set_up(Share("cpu", 1, "fp32"))
    monkeypatch.setenv(name, "BF16")
    with pytest.raises(UserError, match=f"{name}=BF16 lets a CPU compute float32 in fewer bits"):
        hardware.set_up(Share("cpu", 1, "fp32"))


@pytest.mark.parametrize("what", ["CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`", "an illegal access"])
def test_no_room_for_what_cudas_libraries_need_is_no_room(what: str) -> None:
    assert hardware.out_of_memory(RuntimeError(f"CUDA error: {what}")) == what.startswith("CUBLAS")
