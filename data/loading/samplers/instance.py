"""Every image once."""

import torch
from torch import Tensor

from headbench.data.loading.samplers.registry import SAMPLERS


@SAMPLERS.register("instance", version=1)
def instance(labels: Tensor, stream: torch.Generator) -> Tensor:
    """Return a permutation of the positions (N,)."""
    return torch.randperm(len(labels), generator=stream)
