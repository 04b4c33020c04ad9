"""ETF: the frame, and dot regression against its formula."""

import pytest
import torch
from torch import Tensor

from core.batch import Targets
from heads import HEADS, Head
from heads.losses import dot_regression
from tests.heads.helpers import CONTEXT, batch, info, make, slow_squared_cosine


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """On unit features dot regression is half the squared cosine loss."""
    logits, loss = slow_squared_cosine(head.state_dict()["bank"], features, labels)
    return logits, loss / 2


@pytest.mark.parametrize(("num_classes", "dim"), [(2, 1), (3, 2), (10, 9), (10, 10), (10, 64)])
def test_the_frame_is_equiangular(num_classes: int, dim: int) -> None:
    bank = make("etf", num_classes, dim).state_dict()["bank"].double()
    gram = torch.full((num_classes, num_classes), -1 / (num_classes - 1), dtype=torch.float64).fill_diagonal_(1)
    assert torch.allclose(bank @ bank.T, gram, atol=1e-6)


def test_too_few_dimensions_are_not_applicable() -> None:
    supports = HEADS.get("etf").target.supports
    assert supports(info(10), 9) is None
    assert supports(info(10), 8) == "a simplex ETF of 10 classes needs d >= 9"


def test_dot_regression_is_the_papers_formula() -> None:
    """(w_y . h - sqrt(E_W E_H))^2 / (2 sqrt(E_W E_H)), with norms other than 1, term by term."""
    features, targets = batch(4, 6)
    classifier = torch.randn(4, 6, dtype=torch.float64)
    h = features[0].double()
    target = 3.0 * 0.5
    terms = [((classifier[y] * row).sum() - target) ** 2 / (2 * target) for row, y in zip(h, targets.labels, strict=True)]
    assert torch.allclose(dot_regression(h, classifier, targets.labels, feature_norm=0.5, weight_norm=3.0), torch.stack(terms).mean())


def test_the_gradient_only_pulls() -> None:
    """At unit z the gradient is -(1 - cos) w_y made tangent to the sphere: no other class pushes."""
    head = make("etf")
    z = torch.nn.functional.normalize(torch.randn(1, 8, dtype=torch.float32), dim=1).requires_grad_()
    label = torch.tensor([2])
    head.loss(z[None], Targets.plain(label, label), CONTEXT).backward()
    prototype = head.state_dict()["bank"][2]
    cosine = (z[0] * prototype).sum()
    expected = -(1 - cosine) * (prototype - cosine * z[0])
    assert z.grad is not None
    assert torch.allclose(z.grad[0], expected, atol=1e-6)


def test_the_prototype_seed_rotates_the_frame_and_the_run_seed_does_not() -> None:
    first, second, other = make("etf", seed=0), make("etf", seed=1), make("etf", prototype_seed=1)
    assert torch.equal(first.state_dict()["bank"], second.state_dict()["bank"])
    assert not torch.allclose(first.state_dict()["bank"], other.state_dict()["bank"])
