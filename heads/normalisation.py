"""Normalisation of features before a head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHORTEST = 1e-6


def unit(x: Tensor) -> Tensor:
    """Return x (..., d) with unit rows.

    A row shorter than 1e-6 has no direction: it is divided by 1e-6 and gets no gradient.

    Such a gradient would be a million times the one that comes in, and a single row of zeros would end a training.
    """
    directed = x.detach().norm(dim=-1, keepdim=True) >= SHORTEST
    return F.normalize(torch.where(directed, x, x.detach()), dim=-1, eps=SHORTEST)


class BatchNorm(nn.Module):
    """Batch normalisation with a learnable scale and shift, whose running statistics move in :meth:`observe` only, so
    that a loss writes no state.

    Args:
        dim: d.

    Source: Ioffe & Szegedy, ICML 2015; momentum 0.1 and eps 1e-5 as in ``torch.nn.BatchNorm1d``.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    def forward(self, features: Tensor) -> Tensor:
        """Normalise features (..., d) by the statistics of this batch in training mode, by the running ones in eval
        mode or for one sample.
        """
        flat = features.flatten(0, -2)
        mean, variance = self.mean, self.variance
        # One sample is its own mean: normalised by its own statistics it would lose all that it says.
        if self.training and len(flat) > 1:
            mean, variance = flat.mean(dim=0), flat.var(dim=0, unbiased=False)
        return (features - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias

    def observe(self, features: Tensor) -> None:
        """Move the running statistics a tenth of the way to those of features (..., d).

        A single sample, which has no variance, moves nothing, nor do any in eval mode.
        """
        flat = features.flatten(0, -2)
        if self.training and len(flat) > 1:
            self.mean.lerp_(flat.mean(dim=0), 0.1)
            self.variance.lerp_(flat.var(dim=0), 0.1)
