"""Independent random streams, each named, all derived from one seed."""

import hashlib

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


def seed_torch(number: int, device: torch.device | None = None) -> None:
    """Seed torch's own generator of the CPU, and that of a CUDA device where one is given.

    ``torch.manual_seed`` would seed those of all GPUs, also where none is used, or another program's state is in them.
    """
    torch.default_generator.manual_seed(number)
    if device is not None and device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(number)
