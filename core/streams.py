"""Independent random streams, each named, all derived from one seed."""

import hashlib
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *stream: str | int) -> int:
    """Return a 63-bit seed for the named stream: SHA-256 of the seed and the names.

    A stream depends on its own name only, so a head that draws more numbers changes nothing for backbone, batches or
    augmentation.
    """
    text = "/".join(str(part) for part in (seed, *stream))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *stream: str | int) -> torch.Generator:
    """Return a CPU generator for the named stream; CPU, so that every device sees the same draws."""
    return torch.Generator().manual_seed(derive(seed, *stream))


def seed_global(number: int, device: torch.device | None = None) -> None:
    """Seed the global generators: Python's, NumPy's, torch's of the CPU, and that of a CUDA device where one is given.

    ``torch.manual_seed`` would seed those of all GPUs, also where none is used, or another program's state is in them.
    """
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.default_generator.manual_seed(number)
    if device is not None and device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(number)


@contextmanager
def undisturbed(devices: Iterable[int | torch.device] = ()) -> Iterator[None]:
    """Leave the global generators as they were found: Python's, NumPy's, torch's of the CPU and of CUDA devices."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
