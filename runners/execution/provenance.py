"""Where a number comes from: code, versions, machine."""

import importlib.metadata
import platform
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from headbench.core.version import git_commit
from headbench.heads import HEADS
from headbench.runners.training.hardware import Hardware

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "timm", "pillow")
CPUINFO = Path("/proc/cpuinfo")
# What Linux calls the instructions that decide the speed of a training: vectors of float32, vectors and matrices of
# bfloat16.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


# Of several attempts at one cell each is told.
TOLD, PLUS = ("git_commit", "torch_version", "device", "processor", "processor_flags"), " + "


@dataclass(frozen=True)
class Processor:
    """A CPU.

    Attributes:
        name: of the model; empty where it is unknown.
        flags: those of ``FLAGS`` that it has, separated by spaces.
    """

    name: str
    flags: str


def processor(file: Path = CPUINFO) -> Processor:
    """Return the CPU that ``/proc/cpuinfo`` names first; without such a file, what Python knows."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Processor(platform.processor(), "")
    fields = [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in text.splitlines())]
    first = dict(reversed(fields))
    has = first.get("flags", "").split()
    return Processor(first.get("model name", ""), " ".join(flag for flag in FLAGS if flag in has))


def describe(hardware: Hardware) -> dict[str, object]:
    """Return commit, versions and machine, as they go into every result."""
    device = (
        torch.cuda.get_device_name(hardware.device) if hardware.device.type == "cuda" else f"cpu ({platform.machine()})"
    )
    cpu = processor()
    return {
        "git_commit": git_commit(),
        "python_version": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "torch_version": torch.__version__,
        "device": device,
        "processor": cpu.name,
        "processor_flags": cpu.flags,
        "cells_per_device": hardware.cells_per_device,
        "devices": hardware.group.size if hardware.group else 1,
        "threads": hardware.threads,
        "precision": hardware.precision,
        "compile": hardware.compile,
    }


def together(before: Mapping[str, str], now: Mapping[str, object]) -> dict[str, str]:
    """Return what tells of a training in several attempts where and by what it was trained: the values of ``TOLD`` of
    each in turn, joined by a plus where they differ, and when the first began.

    Args:
        before: the same of the attempts so far, empty for the first.
        now: what :func:`describe` says of this one, and its ``started_at``.
    """
    joined = {"started_at": before.get("started_at", str(now["started_at"]))}
    for name in TOLD:
        known = before[name].split(PLUS) if name in before else []
        joined[name] = PLUS.join(filter(None, dict.fromkeys([*known, str(now[name])])))
    return joined


def moved_source(result: dict[str, Any]) -> bool:
    """Say whether a finished cell was trained by another source of its head than the present one.

    A result that does not tell, or of a head that is not here, was not.
    """
    head, recorded = result["facts"]["head"], result["provenance"].get("head_source")
    return recorded is not None and head in HEADS and HEADS.get(head).source not in (None, recorded)


def reset_peak_memory(hardware: Hardware) -> None:
    """Start to count the device's peak memory anew; a process on a CPU only knows that since its start."""
    if hardware.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(hardware.device)


def peak_memory_mb(hardware: Hardware) -> float:
    """Return the peak memory in MiB: of the device on CUDA, else of this process since its start."""
    if hardware.device.type == "cuda":
        return torch.cuda.max_memory_allocated(hardware.device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
