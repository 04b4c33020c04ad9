"""What the harness computes in when a caller's program calls it: its own settings, and the caller's afterwards."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
import torch

from headbench.core.errors import UserError
from headbench.core.streams import undisturbed
from headbench.runners.training import hardware

# Held by the thread that builds or trains: the global generators and torch's settings are those of the whole process.
_LOCK = threading.RLock()
# A process that is forked has no thread but one, and a lock that another one held would stay so.
os.register_at_fork(after_in_child=lambda: globals().update(_LOCK=threading.RLock()))
# Longer than a network takes to be built.
PATIENCE = 60.0


@contextmanager
def usual(caller: str) -> Iterator[None]:
    """Compute as on the command line: new tensors are float32 on the CPU, gradients are kept, nothing is autocast, and
    numpy warns of what it only warns of by default. One thread at a time.

    Raises:
        UserError: where another thread of this process trains.
    """
    lock = _LOCK
    if not lock.acquire(timeout=PATIENCE):
        raise UserError(
            f"{caller}: another thread of this process trains, and the random numbers are the process's; call it "
            f"afterwards, or in another process (run has workers=N)"
        )
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float32)
        with (
            # Where it changes nothing it would cost some time in every call of torch.
            nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu"),
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False),
            np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
        ):
            yield
    finally:
        torch.set_default_dtype(dtype)
        lock.release()


def _own_precision(kind: Any) -> str:
    """Return the precision of a kind of products, ``none`` where it follows a setting of all kinds, and is left so."""
    value = str(kind.fp32_precision)
    kind.fp32_precision = "none"
    return "none" if kind.fp32_precision == value else value


@contextmanager
def borrowed(caller: str, device: str) -> Iterator[None]:
    """Compute as on the command line, and leave torch's settings and random numbers as they were found, for a caller
    who goes on with torch, and the GPUs alone where ``device`` is ``cpu``.

    Raises:
        UserError: where another thread of this process trains.
    """
    with usual(caller):
        cards = 0 if device == "cpu" else torch.cuda.device_count()
        threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
        filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        benchmark, current = torch.backends.cudnn.benchmark, torch.cuda.current_device() if cards else -1
        libraries = [(library, library.enabled) for library in hardware.libraries()]
        matmul, tf32 = None, None
        # A caller who set the newer attributes may not read the older ones, and has no use of them.
        with suppress(RuntimeError):
            matmul = torch.get_float32_matmul_precision()
        with suppress(RuntimeError):
            tf32 = torch.backends.cudnn.allow_tf32
        kinds = hardware.products()
        former = [_own_precision(kind) for kind in kinds]
        try:
            with undisturbed(range(cards)):
                yield
        finally:
            torch.set_num_threads(threads)
            torch.set_deterministic_debug_mode(mode)
            torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
            torch.backends.cudnn.benchmark = benchmark
            for library, enabled in libraries:
                library.enabled = enabled
            if matmul is not None:
                torch.set_float32_matmul_precision(matmul)
            if tf32 is not None:
                torch.backends.cudnn.allow_tf32 = tf32
            for kind, value in zip(kinds, former, strict=True):
                kind.fp32_precision = value
            torch.cuda.set_device(current)  # of a negative number nothing is done
