"""The registry of samplers."""

from collections.abc import Callable

import torch
from torch import Tensor

from headbench.core.registry import Registry

# (labels (N,) on the CPU, a CPU generator) to the N positions that one epoch visits, in order.
Sampler = Callable[[Tensor, torch.Generator], Tensor]

SAMPLERS: Registry[Sampler] = Registry("sampler", "headbench.data")
