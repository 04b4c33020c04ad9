"""The logarithm of the Bessel function against scipy, constants of many digits, and its own recurrence."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ive
from torch import Tensor

from headbench.heads.families.log_bessel import log_bessel


def exponentially_scaled(p: int, k: float) -> float:
    """log(e^(-k) I_nu(k)), as the constants are given."""
    order = p / 2 - 1
    return log_bessel(torch.tensor(k * k, dtype=torch.float64), order).item() + order * math.log(k) - k


def ratio(k: Tensor, p: int) -> Tensor:
    """A_p(k) = (I_(nu+1) / I_nu)(k), the derivative of log(I_nu(k) / k^nu)."""
    squares = k.square().requires_grad_()
    (gradient,) = torch.autograd.grad(log_bessel(squares, p / 2 - 1).sum(), squares)
    return 2 * k * gradient


@pytest.mark.parametrize("k", [0.05, 1, 10, 50, 128, 300, 606, 1e3, 1e4, 1e5])
def test_agrees_with_scipy(k: float) -> None:
    assert exponentially_scaled(128, k) == pytest.approx(math.log(ive(63, k)), abs=1e-8)


@pytest.mark.parametrize(
    ("p", "k", "value"),
    [
        (1024, 0.05, -4564.889547),
        (1024, 1, -3035.019868),
        (1024, 10, -1867.350548),
        (1024, 50, -1083.757345),
        (1024, 128, -674.694012),
        (1024, 606.3, -208.938351),
        (1024, 1e4, -18.577959),
        (1024, 1e5, -7.981009),
        (128, 1, -245.673683),
        (128, 606.3, -7.395306),
        (128, 1e4, -5.722555),
        (128, 1e5, -6.695245),
    ],
)
def test_agrees_with_constants_of_arbitrary_precision(p: int, k: float, value: float) -> None:
    """At p = 1024 scipy's function underflows for small k."""
    assert exponentially_scaled(p, k) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("p", [16, 33, 128, 1024])
def test_at_zero_it_is_the_first_term_of_the_series(p: int) -> None:
    order = p / 2 - 1
    square = torch.zeros((), dtype=torch.float64).requires_grad_()
    value = log_bessel(square, order)
    value.backward()
    tolerance = 1e-5 if p < 64 else 1e-8
    assert value.item() == pytest.approx(-order * math.log(2) - math.lgamma(order + 1), abs=tolerance)
    # The next term is k^2 / (4 nu + 4) = k^2 / 2p.
    assert square.grad is not None
    assert square.grad.item() == pytest.approx(1 / (2 * p), rel=1e-5)


@pytest.mark.parametrize(("k", "value"), [(606.3, 0.900659), (1e4, 0.993670)])
def test_the_ratio(k: float, value: float) -> None:
    assert ratio(torch.tensor(k, dtype=torch.float64), 128).item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("p", [16, 33, 128, 1024])
def test_the_ratio_rises_from_zero_to_one(p: int) -> None:
    values = ratio(torch.logspace(-6, 5, 300, dtype=torch.float64), p)
    assert (values > 0).all()
    assert (values < 1).all()
    assert (values.diff() > 0).all()


@settings(max_examples=25, deadline=None)
@given(k=st.floats(1e-3, 1e5), p=st.integers(64, 1100))
def test_three_orders_fulfil_the_recurrence(k: float, p: int) -> None:
    """I_(nu-1) - I_(nu+1) = (2 nu / k) I_nu, for whole and half orders."""
    square, order = torch.tensor(k * k, dtype=torch.float64), p / 2 - 1
    below, own, above = (log_bessel(square, order + step) for step in (-1, 0, 1))
    assert (below - own).exp().item() == pytest.approx(2 * order + k * k * (above - own).exp().item(), rel=1e-8)


@pytest.mark.parametrize("order", [7.0, 15.5, 63.0, 511.0])
def test_the_derivatives_are_those_of_finite_differences(order: float) -> None:
    squares = torch.tensor([0.0, 0.3, 40.0, 900.0, 4e4], dtype=torch.float64).requires_grad_()
    # Of the expansion, and of the exact function: they differ by less than the tolerance.
    assert torch.autograd.gradcheck(lambda x: log_bessel(x, order), (squares,), atol=1e-7, rtol=1e-4)
    assert torch.autograd.gradgradcheck(lambda x: log_bessel(x, order), (squares,), atol=1e-7, rtol=1e-4)
