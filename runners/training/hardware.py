"""Device, threads and precision of a run."""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from headbench.core.errors import UserError
from headbench.runners.devices.group import Group
from headbench.runners.devices.helpers import HelperError

# By default; more than one per core never helps, and each holds its own copy of torch.
MOST_WORKERS = 8
# Variables of oneDNN, which has read them before any of torch's settings could be made.
FPMATH = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
# Of the sizes of batches and networks of a grid, how many one process compiles; torch's own default is 8.
COMPILED = 256
# In messages of torch that there was no room.
NO_ROOM = ("DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class Hardware:
    """What a run computes on.

    Attributes:
        device: ``cpu`` or ``cuda``.
        threads: of torch on the CPU, one value for the whole grid.
        bf16: autocast to bfloat16.
        cells_per_device: workers of this run that share the device, and with it the images per second.
        group: the processes that train a cell together, each on a device of its own; None where this one does it alone.
        compiled: train compiled backbones.
    """

    device: torch.device
    threads: int
    bf16: bool
    cells_per_device: int = 1
    group: Group | None = None
    compiled: bool = False

    @property
    def precision(self) -> str:
        """The resolved precision."""
        return "bf16" if self.bf16 else "fp32"

    @property
    def compile(self) -> str:
        """Whether backbones are compiled, as the option says it."""
        return "on" if self.compiled else "off"


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there was no room on the device, or in the memory of the machine."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    # torch has no name for it on a CPU, and none where CUDA's libraries ask for memory themselves; of another process
    # of a group its words alone are known.
    told = NO_ROOM if isinstance(error, RuntimeError) else (*NO_ROOM, "MemoryError")
    return isinstance(error, RuntimeError | HelperError) and any(words in str(error) for words in told)


@dataclass(frozen=True)
class Share:
    """What one worker is to use of a machine.

    Attributes:
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads.
        precision: ``auto``, ``fp32`` or ``bf16``.
        workers: how many such workers there are.
        readers: processes that read image files for it, or None for as many as threads.
        devices: that each of them trains a cell on, with a process for each.
        compiled: train compiled backbones.
    """

    device: str
    threads: int
    precision: str
    workers: int = 1
    readers: int | None = None
    devices: int = 1
    compiled: bool = False


def has_bf16(device: torch.device) -> bool:
    """Say whether the device multiplies bfloat16 in hardware.

    On a CPU that is AVX-512 BF16 or AMX, where autocast about doubles the speed.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    older = (getattr(torch.cpu, name, bool) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return (
        bool(capabilities.get("avx512_bf16") or capabilities.get("amx_tile"))
        if capabilities
        else any(has() for has in older)
    )


def emulated(machine: Hardware) -> bool:
    """Say whether the precision is one that the device has to emulate, many times slower."""
    return machine.bf16 and not has_bf16(machine.device)


def spelled(machine: Hardware) -> str:
    """Return the precision in words, and that it is slow where it is emulated."""
    return f"{machine.precision} (emulated here and slow; fp32 is faster)" if emulated(machine) else machine.precision


def cores(root: Path = Path("/")) -> int:
    """Return the number of CPU cores that this process may use: the least of its affinity, its share of a Slurm job and
    the quotas of its control groups.

    Args:
        root: of the file system.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # The second is there where the job did not ask for cores by task.
    given = (os.environ.get(name, "") for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"))
    slurm = next((int(text) for text in given if text.isdecimal()), allowed)
    return max(int(min(allowed, slurm, *_quotas(root))), 1)


def _quotas(root: Path) -> Iterator[float]:
    """Give the CPU quotas, in cores, of this process's control groups (version 1 or 2) and of those around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers and "cpu" not in controllers.split(","):
            continue
        # In a container the path may be that of the host; then only the top is there.
        parts = [part for part in path.split("/") if part not in {"", ".."}]
        for mount in {controllers, "cpu"} if controllers else {"", "unified"}:
            for depth in range(len(parts) + 1):
                yield from _quota(root.joinpath("sys/fs/cgroup", mount, *parts[:depth]))


def _quota(group: Path) -> Iterator[float]:
    """Give the quota of one control group, if it has one: ``max`` in version 2 and -1 in version 1 are none."""
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / file).read_text(encoding="utf-8") for file in files).split()
        except (OSError, ValueError):
            continue
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
            yield int(quota) / int(period)


def share(workers: int | None, threads: int | None, cells: int, device: str, devices: int = 1) -> tuple[int, int]:
    """Return workers and threads of each, one thread count for the whole grid.

    By default one worker per CUDA device, else one per CPU core up to 8, and the cores divided among them: on two cores
    two workers of one thread finish a grid sooner than one of two (docs/measured.md, "Speed").

    Args:
        workers: as asked for, or None.
        threads: as asked for, or None.
        cells: in the whole grid, not only those that are left: the share must not change when a grid is resumed.
        device: ``auto``, ``cpu`` or ``cuda``.
        devices: of each worker.

    Raises:
        UserError: if workers are to have more CUDA devices of their own than there are.
    """
    there = 0 if device == "cpu" else torch.cuda.device_count()
    if devices > 1 and 0 < there < devices * (workers or 1):
        team = f" for each of {workers} workers" if workers and workers > 1 else ""
        raise UserError(f"--devices {devices}{team}: torch finds {there} CUDA devices here")
    if workers is None:
        most = there or min(cores() // (threads or 1), MOST_WORKERS, cells * devices)
        workers = max(most // devices, 1)
    return workers, threads or max(cores() // (workers * devices), 1)


def device_of(share: Share, worker: int = 0, rank: int = 0) -> torch.device:
    """Return the device of a worker's process: with several CUDA devices each has its own."""
    if share.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", (worker * share.devices + rank) % torch.cuda.device_count())


def check_compiler(device: torch.device) -> None:
    """Compile a sum, and let this process compile the networks of a whole grid.

    Raises:
        UserError: if torch.compile does not work here, for want of a C++ compiler or, on CUDA, of Triton.
    """
    # Which says that a toolkit of CUDA is installed where there is no card.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    # Else the order of sums on a GPU is chosen by time, and two workers may choose unlike ones.
    for name in ("dynamic_scale_rblock", "shape_padding"):
        if hasattr(torch._inductor.config, name):
            setattr(torch._inductor.config, name, False)
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = COMPILED
    try:
        torch.compile(torch.add)(torch.ones(2, device=device), 1)
    # Whatever compilers and the search for them lead to.
    except Exception as error:
        said = " ".join(str(error).split()).removeprefix("backend='inductor' raised: ")
        reason = said.partition(" Set TORCHDYNAMO")[0][:200]
        raise UserError(f"--compile on: torch.compile does not work here ({reason}); use --compile off") from None


def libraries() -> list[Any]:
    """Return torch's libraries of convolutions, which a program may have turned off."""
    backends: Any = torch.backends
    return [backends.mkldnn, backends.cudnn]


def products() -> list[Any]:
    """Return what torch 2.9 and later multiply float32 by, with an attribute ``fp32_precision`` each; of older ones
    nothing.
    """
    backends = torch.backends
    named = [(backends.cuda, "matmul"), *((backends.cudnn, name) for name in ("conv", "rnn"))]
    named += [(backends.mkldnn, name) for name in ("matmul", "conv", "rnn")]
    found = [getattr(library, name, None) for library, name in named]
    return [kind for kind in found if hasattr(kind, "fp32_precision")]


def set_up(share: Share, worker: int = 0, rank: int = 0) -> Hardware:
    """Choose device and precision, and make torch deterministic.

    Args:
        share: of this worker.
        worker: its number; with several CUDA devices each worker has its own.
        rank: which of its devices.

    Raises:
        UserError: if CUDA is asked for and absent, the environment has products of float32 in fewer bits, or networks
            are to be compiled and cannot be.
    """
    if share.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    for name in FPMATH:
        if (mode := os.environ.get(name) or "strict").lower() != "strict":
            raise UserError(f"{name}={mode} lets a CPU compute float32 in fewer bits; unset it for fp32 to be fp32")
    chosen, devices = device_of(share, worker, rank), 1
    if chosen.type == "cuda":
        devices = torch.cuda.device_count()
        torch.cuda.set_device(chosen)
    torch.set_num_threads(share.threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # As use_deterministic_algorithms(True), which loads torch's compiler too: two seconds of every start.
    torch.set_deterministic_debug_mode("error")
    # Filling every fresh tensor with NaN only serves to find code that reads it too early, and takes 8 % of a step of
    # fast_convnet on a CPU (torch's profiler).
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # Other kernels round otherwise.
    for library in libraries():
        library.enabled = True
    # fp32 means fp32, whatever the process had before: the older settings first, since torch refuses to read them where
    # they contradict the newer ones.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    for kind in products():
        kind.fp32_precision = "ieee"
    bf16 = has_bf16(chosen) if share.precision == "auto" else share.precision == "bf16"
    if share.compiled:
        check_compiler(chosen)
    beside = len(range(chosen.index or 0, share.workers * share.devices, devices))
    return Hardware(chosen, share.threads, bf16, beside, compiled=share.compiled)
