"""Von Mises-Fisher distributions of unit vectors: one per class, with the class's mean as their only knowledge."""

import torch
from torch import Tensor

from headbench.heads.families.log_bessel import log_bessel
from headbench.heads.normalisation import unit

LARGEST = 1e5


def concentrations(means: Tensor) -> Tensor:
    """Return kappa (C,) = p R / (1 - R^2) of means (C, p) of unit vectors, R their lengths; at most 1e5.

    Source: the released code of Du et al. (ProCo), TPAMI 2024; the estimator of Sra, 2012, is R (p - R^2) / (1 - R^2).
    """
    lengths: Tensor = torch.linalg.vector_norm(means, dim=1)
    # Rounding may leave a mean of equal vectors a little longer than 1: that is as concentrated as can be, too.
    return (means.shape[1] * lengths / (1 - lengths.square()).clamp(min=1e-9)).clamp(max=LARGEST)


def log_moments(z: Tensor, means: Tensor, temperature: float) -> Tensor:
    """Return log E exp(z . x / temperature) (N, C), float64, for x of each class's distribution.

    With F(k) = log(I_nu(k) / k^nu), nu = p/2 - 1, it is F(|kappa mu + z / temperature|) - F(kappa).

    Args:
        z: unit vectors (N, p).
        means: mean of the unit vectors of each class (C, p).
        temperature: above 0.

    Source: Du et al. (ProCo), TPAMI 2024, the closed form of the expected contrastive loss.
    """
    order = means.shape[1] / 2 - 1
    kappa = concentrations(means)
    squares = kappa.double().square()
    products = z @ (kappa[:, None] * unit(means)).T
    # The square of the sum by its three terms, so that nothing of the size N x C x p is made.
    combined = squares + products.double() * (2 / temperature) + 1 / temperature**2
    return log_bessel(combined, order) - log_bessel(squares, order)
