"""The logarithm of the modified Bessel function of the first kind, of large order and for any argument."""

import math
from typing import Any

import torch
from torch import Tensor

# Elements that are expanded at once, so that temporaries take 8 MB each, whatever the batch and the classes.
CHUNK = 2**20


def log_bessel(square: Tensor, order: float) -> Tensor:
    """Return log(I_nu(k) / k^nu) elementwise, as a function of k^2, which is smooth at k = 0.

    The first three corrections of the uniform expansion in float64: for k up to 1e5 the absolute error is below 1e-5 at
    nu = 7, 2e-9 at nu = 63 and 1e-11 at nu = 511.

    Args:
        square: k^2, float64.
        order: nu >= 7, any real number.

    Source: Olver, Asymptotics and Special Functions, 1974, chapter 10, equation 7.16.
    """
    value: Tensor = _LogBessel.apply(square, order)
    return value


class _LogBessel(torch.autograd.Function):
    """With the derivative (I_(nu+1) / I_nu)(k) / 2k, by the same expansion; a graph through the expansion would keep
    some twenty tensors.
    """

    @staticmethod
    def forward(ctx: Any, square: Tensor, order: float) -> Tensor:
        pieces = [_expansion(piece, order) for piece in torch.split(square.flatten(), CHUNK)]
        value = torch.cat(pieces).view_as(square)
        ctx.save_for_backward(square, value)
        ctx.order = order
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        square, value = ctx.saved_tensors
        return gradients[0] * (log_bessel(square, ctx.order + 1) - value).exp() / 2, None


def _expansion(square: Tensor, order: float) -> Tensor:
    q = (1 + square / order**2).sqrt()
    # The corrections are polynomials in 1 / q^2, times powers of 1 / (nu q): Horner's rule for both keeps few tensors.
    w, t = q**-2, 1 / (order * q)
    corrections = t * (30375 - w * (369603 - w * (765765 - 425425 * w))) / 414720
    corrections = t * ((81 - w * (462 - 385 * w)) / 1152 + corrections)
    corrections = t * ((3 - 5 * w) / 24 + corrections)
    constant = order * math.log(order) + math.log(2 * math.pi * order) / 2
    return order * (q - torch.log1p(q)) - q.log() / 2 + torch.log1p(corrections) - constant
