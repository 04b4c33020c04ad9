"""What long-tailed heads make of the number of training images of each class, and when they begin to weigh by it."""

import math

import torch
from torch import Tensor

from headbench.core.batch import DataInfo
from headbench.heads.base import Context


def log_prior(info: DataInfo) -> Tensor:
    """Return log(n_c / sum of all n) (C,) float32; a class without images counts as if it had one, so that all are
    finite.
    """
    counts = info.class_counts.double().clamp(min=1)
    return (counts / counts.sum()).log().float()


def effective_number_weights(info: DataInfo, beta: float) -> Tensor:
    """Return (1 - beta) / (1 - beta^n_c) (C,) float32, scaled to the sum C; a class without images counts as one of one
    image.

    Source: Cui et al., CVPR 2019, class-balanced weights by the effective number of samples.
    """
    counts = info.class_counts.double().clamp(min=1)
    # expm1 keeps what 1 - beta^n loses to rounding for beta near 1; at beta = 0 both are 1.
    inverse = torch.ones_like(counts) if beta == 0 else -1 / torch.expm1(counts * math.log(beta))
    return (inverse / inverse.sum() * len(counts)).float()


def ldam_margins(info: DataInfo, largest: float) -> Tensor:
    """Return margins proportional to n_c^(-1/4) (C,) float32, scaled so that the largest, of the rarest class that has
    images, is ``largest``. A class without images, whose margin no label asks for, has the largest too.

    Source: Cao et al., NeurIPS 2019, equation 13 and its released code.
    """
    counts = info.class_counts.double()
    margins = (counts / counts[counts > 0].min()).clamp(min=1) ** -0.25
    return (largest * margins).float()


def relative_factors(info: DataInfo, gamma: float) -> Tensor:
    """Return (n_c / n_max)^gamma (C,) float32; a class without images counts as if it had one.

    Source: Ye et al., 2020, class-dependent temperatures, the inverse of these.
    """
    counts = info.class_counts.double().clamp(min=1)
    return ((counts / counts.max()) ** gamma).float()


def reweighting_begun(context: Context) -> bool:
    """Return whether the last fifth of the stage's epochs, rounded up, has begun: from there deferred re-weighting
    (DRW) weighs the classes.

    Source: Cao et al., NeurIPS 2019, and its released code, epoch 160 of 200.
    """
    return context.epoch >= 4 * context.epochs // 5
