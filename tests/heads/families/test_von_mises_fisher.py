"""Moments of von Mises-Fisher distributions: their limits, bounds, and averages over draws."""

import math

import pytest
import torch
from scipy.special import ive
from scipy.stats import vonmises_fisher
from torch import Tensor

from headbench.heads.families.von_mises_fisher import LARGEST, concentrations, log_moments
from headbench.heads.normalisation import unit
from tests.heads.helpers import slow_log_moment

TEMPERATURE = 0.1


def points(size: int, dim: int, seed: int = 0) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    return unit(torch.randn(size, dim, dtype=torch.float64, generator=stream))


def test_concentrations_by_hand() -> None:
    directions = points(4, 128)
    means = directions * torch.tensor([[0.0], [0.5], [0.9], [1.0]])
    assert concentrations(means).tolist() == pytest.approx([0, 128 * 0.5 / 0.75, 128 * 0.9 / 0.19, LARGEST])


@pytest.mark.parametrize("length", [1 - 1e-4, 1.0, 1.0 + 1e-6, 1.5])
def test_equal_vectors_are_as_concentrated_as_can_be(length: float) -> None:
    """Also where rounding makes their mean longer than 1, in float32 too."""
    assert concentrations(length * points(3, 128)).tolist() == [LARGEST] * 3
    assert concentrations((length * points(3, 128)).float()).tolist() == [LARGEST] * 3


def test_agrees_with_the_definition_entry_by_entry() -> None:
    means = points(5, 128) * torch.tensor([[0.0], [0.1], [0.5], [0.9], [1.0]])
    z = points(4, 128, seed=1)
    expected = [[slow_log_moment(row, mean, TEMPERATURE) for mean in means] for row in z]
    found = log_moments(z, means, TEMPERATURE)
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), atol=1e-8)
    single = log_moments(z.float(), means.float(), TEMPERATURE)
    assert single.dtype == torch.float64
    assert torch.allclose(single, found, atol=1e-4)


def test_without_concentration_all_classes_are_alike() -> None:
    found = log_moments(points(4, 64), 1e-9 * points(6, 64, seed=1), TEMPERATURE)
    assert torch.allclose(found, found[:1, :1].expand_as(found), atol=1e-6)


def test_at_the_largest_concentration_it_is_the_scaled_cosine() -> None:
    z, means = points(4, 64), points(6, 64, seed=1)
    assert torch.allclose(log_moments(z, means, TEMPERATURE), z @ means.T / TEMPERATURE, atol=0.05)


@pytest.mark.parametrize(
    ("length", "cosine", "value", "first_order"), [(0.9, 1, 9.014, 9.0), (0.9, 0, 0.074, 0.0), (0.5, 1, 5.179, 5.0)]
)
def test_it_is_close_to_the_class_mean_as_prototype(
    length: float, cosine: float, value: float, first_order: float
) -> None:
    z, other = torch.eye(128, dtype=torch.float64)[:2]
    mean = length * (z if cosine else other)
    found = log_moments(z[None], mean[None], TEMPERATURE).item()
    assert found == pytest.approx(value, abs=1e-3)
    assert (mean @ z).item() / TEMPERATURE == pytest.approx(first_order)


def test_it_lies_between_the_mean_and_the_maximum() -> None:
    """Jensen: log E exp(a) >= E a, and z . x <= 1."""
    lengths = torch.tensor([[0.05], [0.3], [0.6], [0.9], [0.98]])
    z, means = points(8, 128), lengths * points(5, 128, seed=1)
    found = log_moments(z, means, TEMPERATURE)
    kappa = concentrations(means)
    expected = torch.from_numpy(ive(64, kappa.numpy()) / ive(63, kappa.numpy())) * unit(means).T
    assert (found >= z @ expected / TEMPERATURE).all()
    assert (found <= 1 / TEMPERATURE).all()


@pytest.mark.parametrize(("length", "cosine"), [(0.5, 1.0), (0.9, 0.0), (0.9, -1.0)])
def test_it_is_the_mean_over_draws(length: float, cosine: float) -> None:
    """At a mild temperature, where 20,000 draws are enough."""
    axis, other = torch.eye(32, dtype=torch.float64)[:2]
    z = cosine * axis if cosine else other
    mean = length * axis
    draws = vonmises_fisher(axis.numpy(), concentrations(mean[None]).item()).rvs(20_000, random_state=0)
    terms = (torch.from_numpy(draws) @ z / 0.5).exp()
    error = (terms.std() / terms.mean() / math.sqrt(len(terms))).item()
    assert log_moments(z[None], mean[None], 0.5).item() == pytest.approx(terms.mean().log().item(), abs=4 * error)


def test_a_rotation_of_all_vectors_changes_nothing() -> None:
    z, means = points(4, 32), 0.7 * points(6, 32, seed=1)
    turn = torch.linalg.qr(points(32, 32, seed=2)).Q
    turned = log_moments(z @ turn, means @ turn, TEMPERATURE)
    assert torch.allclose(turned, log_moments(z, means, TEMPERATURE), atol=1e-9)


def test_gradients_are_those_of_finite_differences() -> None:
    """Also where z lies opposite to the mean and kappa is 1 / temperature, so that their sum is zero."""
    length = (math.sqrt(16**2 + 400) - 16) / 20
    means = torch.cat([points(3, 16) * torch.tensor([[0.1], [0.9], [1.0]]), torch.zeros(1, 16)])
    axis = torch.eye(16, dtype=torch.float64)[:1]
    assert concentrations(length * axis).item() == pytest.approx(10)
    raw = torch.cat([points(2, 16, seed=1), -axis]).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: log_moments(unit(x), torch.cat([means, length * axis]), TEMPERATURE), (raw,), atol=1e-4
    )
