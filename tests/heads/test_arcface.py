"""ArcFace against its formula, with angles, and against the gradient of the authors' code."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import HEADS, Head
from headbench.heads.arcface import ArcFaceHead
from headbench.heads.arcface import penalised as fast_penalised
from tests.heads.helpers import CONTEXT, batch, make, slow_cosines, slow_cross_entropy

SCALE, MARGIN = 30.0, 0.5


def penalised(cosine: float, margin: float = MARGIN, easy: bool = False) -> float:
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if easy:
        return math.cos(angle + margin) if angle < math.pi / 2 else cosine
    return math.cos(angle + margin) if angle + margin <= math.pi else cosine - 1 - math.cos(math.pi - margin)


LEARNS = {"weight"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits s cos(theta); the loss takes s cos(theta + m) for the own class."""
    cosines = slow_cosines(head.state_dict()["weight"], features)
    turned = cosines.clone()
    for i, y in enumerate(labels.tolist()):
        turned[i, y] = penalised(float(cosines[i, y]))
    return SCALE * cosines, slow_cross_entropy(SCALE * turned, labels)


def arcface(**options: Any) -> ArcFaceHead:
    head = make("arcface", **options)
    assert isinstance(head, ArcFaceHead)
    return head


@pytest.mark.parametrize("gradient", ["released", "exact"])
@pytest.mark.parametrize("margin", [0.0, 0.2, 0.5, 1.2])
def test_the_penalty_is_continuous_and_rises_with_the_cosine(margin: float, gradient: str) -> None:
    cosines = torch.linspace(-0.9999, 0.9999, 4001, dtype=torch.float64)[:, None]
    found = arcface(margin=margin, gradient=gradient).with_margin(cosines)[:, 0]
    assert torch.allclose(
        found, torch.tensor([penalised(float(c), margin) for c in cosines], dtype=torch.float64), atol=1e-9
    )
    assert (found.diff() > 0).all()
    assert found.diff().max() < 0.1


@pytest.mark.parametrize("margin", [0.2, 0.5, 1.2])
def test_an_easy_margin_is_for_acute_angles_only(margin: float) -> None:
    cosines = torch.linspace(-0.9999, 0.9999, 4000, dtype=torch.float64)[:, None]
    found = arcface(margin=margin, easy_margin=True).with_margin(cosines)[:, 0]
    assert torch.allclose(
        found, torch.tensor([penalised(float(c), margin, easy=True) for c in cosines], dtype=torch.float64), atol=1e-9
    )
    assert torch.equal(found[:2000], cosines[:2000, 0])


@pytest.mark.parametrize("easy", [False, True])
@pytest.mark.parametrize("degrees", [5.0, 60.0, 89.0, 91.0, 120.0, 140.0, 170.0])
def test_the_derivative_by_the_own_cosine_is_one_as_released_or_that_of_the_equation(
    degrees: float, easy: bool
) -> None:
    """By hand: d cos(theta + m) / d cos(theta) = sin(theta + m) / sin(theta), and 1 where the cosine is shifted."""
    angle = math.radians(degrees)
    turned = degrees < 90 if easy else angle <= math.pi - MARGIN
    for gradient, expected in (
        ("released", 1.0),
        ("exact", math.sin(angle + MARGIN) / math.sin(angle) if turned else 1.0),
    ):
        own = torch.tensor([[math.cos(angle)]], dtype=torch.float64, requires_grad=True)
        arcface(gradient=gradient, easy_margin=easy).with_margin(own).sum().backward()
        assert own.grad is not None
        assert own.grad.item() == pytest.approx(expected, abs=1e-12)


def test_the_released_gradient_is_that_of_the_authors_code() -> None:
    """Their steps, in float64: cosines become angles, the own one gets m, and all become cosines again, without
    autograd; then s and cross-entropy.
    """
    head = arcface().double()
    features, targets = batch(5, 8, size=16)
    features = features.detach().double().requires_grad_()
    head.loss(features, targets, CONTEXT).backward()
    assert features.grad is not None
    own = features.grad.clone()
    features.grad = None

    z, w = (x / x.norm(dim=1, keepdim=True) for x in (features[0], head.weight.detach()))
    cosines = z @ w.T
    with torch.no_grad():
        angles = cosines.acos()
        angles[torch.arange(16), targets.labels] += MARGIN
        assert angles.max() < math.pi
        shift = angles.cos() - cosines
    torch.nn.functional.cross_entropy(SCALE * (cosines + shift), targets.labels).backward()
    assert features.grad is not None
    assert torch.allclose(own, features.grad, atol=1e-12)


@pytest.mark.parametrize("gradient", ["released", "exact"])
@pytest.mark.parametrize("easy", [False, True])
def test_the_gradient_changes_no_value(gradient: str, easy: bool) -> None:
    cosines = torch.linspace(-1, 1, 999)[:, None]
    found = arcface(gradient=gradient, easy_margin=easy).with_margin(cosines)
    assert torch.allclose(found, fast_penalised(cosines, MARGIN, easy), atol=2e-7)


def test_what_differs_from_the_authors_is_named() -> None:
    about = HEADS.get("arcface").about
    assert all(
        word in about["source"] + about["deviations"]
        for word in ("without differentiating", "cos(theta) - m sin(m)", "easy_margin")
    )


def test_gradients_stay_finite_at_both_poles() -> None:
    head = make("arcface", gradient="exact")
    weight, labels = head.state_dict()["weight"], torch.arange(5)
    for sign in (1, -1):
        features = (sign * weight[None]).requires_grad_()
        head.loss(features, Targets.plain(labels, labels), CONTEXT).backward()
        assert features.grad is not None
        assert torch.isfinite(features.grad).all()


def test_without_a_margin_it_is_the_cosine_softmax() -> None:
    features, targets = batch(5, 8)
    assert torch.allclose(
        make("psc-cosine", scale=SCALE).loss(features, targets, CONTEXT),
        make("arcface", margin=0.0).loss(features, targets, CONTEXT),
        atol=1e-5,
    )


def test_of_two_classes_each_keeps_half_the_margin_from_the_line_between() -> None:
    """In the plane cos(angle to the own vector + m) is the other cosine where the feature is m / 2 beyond the line."""
    half, beyond = 0.9, torch.tensor([MARGIN / 2 - 1e-3, MARGIN / 2 + 1e-3], dtype=torch.float64)
    own, other = (half - beyond).cos(), (half + beyond).cos()
    assert ((arcface().with_margin(own[:, None])[:, 0] - other) > 0).tolist() == [False, True]


@pytest.mark.parametrize("name", ["normface", "psc-cosine", "cosface", "arcface"])
def test_no_loss_of_cosines_changes_the_length_of_a_feature(name: str) -> None:
    features, targets = batch(5, 8)
    make(name).loss(features, targets, CONTEXT).backward()
    assert features.grad is not None
    along = (features.detach() * features.grad).sum(dim=-1)
    lengths = features.detach().norm(dim=-1) * features.grad.norm(dim=-1)
    assert (along.abs() < 1e-5 * lengths).all()
