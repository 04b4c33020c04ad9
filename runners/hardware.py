"""Device, threads and precision of a run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from core.errors import UserError


@dataclass(frozen=True)
class Hardware:
    """What a run computes on.

    Attributes:
        device: ``cpu`` or ``cuda``.
        threads: of torch on the CPU, one value for the whole grid.
        bf16: autocast to bfloat16.
    """

    device: torch.device
    threads: int
    bf16: bool

    @property
    def precision(self) -> str:
        """The resolved precision."""
        return "bf16" if self.bf16 else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Say whether the device multiplies bfloat16 in hardware; on a CPU that is AVX-512 BF16 or AMX, where autocast about doubles the speed."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_tile"))


def set_up(device: str, threads: int | None, precision: str) -> Hardware:
    """Choose device and precision, and make torch deterministic.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads, or None for all cores of this process.
        precision: ``auto``, ``fp32`` or ``bf16``.

    Raises:
        UserError: if CUDA is asked for and absent.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Filling every fresh tensor with NaN only serves to find code that reads it too early, and takes 8 % of a step of fast_convnet on a CPU (torch's profiler).
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    bf16 = has_bf16(chosen) if precision == "auto" else precision == "bf16"
    return Hardware(chosen, torch.get_num_threads(), bf16)
