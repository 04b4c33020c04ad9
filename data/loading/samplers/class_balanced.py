"""Every class equally often."""

import torch
from torch import Tensor

from headbench.data.loading.samplers.registry import SAMPLERS


@SAMPLERS.register("class_balanced", version=2)
def class_balanced(labels: Tensor, stream: torch.Generator) -> Tensor:
    """Return N positions, drawn with replacement, every class equally likely.

    Source: Kang et al., ICLR 2020, class-balanced sampling.
    """
    # In float64: the running sum of float32 cannot tell the weights of large classes apart where there are thousands.
    weights = 1.0 / torch.bincount(labels)[labels].double()
    return torch.multinomial(weights, len(labels), replacement=True, generator=stream)
