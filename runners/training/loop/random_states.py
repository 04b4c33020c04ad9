"""The random numbers of a training that was interrupted: how each generator's go on."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headbench.core.streams import seed_global


def kept(device: torch.device, head: torch.Generator) -> dict[str, Any]:
    """Return the states of all generators, as a checkpoint holds them.

    Args:
        device: that is trained on.
        head: the head's own generator.
    """
    state: Any = np.random.get_state(legacy=True)
    kind, keys, *rest = state
    return {
        "random": torch.get_rng_state(),
        "cuda_random": [torch.cuda.get_rng_state(device)] if device.type == "cuda" else [],
        "head_random": head.get_state(),
        "host_random": {"python": random.getstate(), "numpy": [kind, keys.tolist(), *rest]},
    }


def take_up(states: dict[str, Any], device: torch.device, head: torch.Generator, seed: int) -> None:
    """Give all generators the states of an equal training.

    Args:
        states: as :func:`kept` returned them.
        device: that is trained on.
        head: the head's own generator.
        seed: of the global generators; a training that was begun on a CPU draws on a GPU from the start.
    """
    if device.type == "cuda":
        _draw_on(states["cuda_random"], device, seed)
    torch.set_rng_state(states["random"])
    head.set_state(states["head_random"])
    if "host_random" in states:  # earlier harnesses kept none
        random.setstate(states["host_random"]["python"])
        kind, keys, *rest = states["host_random"]["numpy"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))


def _draw_on(states: list[Tensor], device: torch.device, seed: int) -> None:
    """Let a GPU's random numbers go on: of an earlier harness's states the one of its number."""
    own = device.index or 0
    if states:
        torch.cuda.set_rng_state(states[own if own < len(states) else 0], device)
    else:
        seed_global(seed, device)
