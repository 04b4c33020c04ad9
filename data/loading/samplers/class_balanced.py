"""Every class equally often."""

import torch
from torch import Tensor

from headbench.data.loading.samplers.registry import SAMPLERS


@SAMPLERS.register("class_balanced", version=1)
def class_balanced(labels: Tensor, stream: torch.Generator) -> Tensor:
    """Return N positions, drawn with replacement, every class equally likely.

    Source: Kang et al., ICLR 2020, class-balanced sampling.
    """
    weights = 1.0 / torch.bincount(labels)[labels]
    return torch.multinomial(weights, len(labels), replacement=True, generator=stream)
