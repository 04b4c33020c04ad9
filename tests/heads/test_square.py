"""Square loss against its formula, its rescaling and its probabilities."""

import pytest
import torch
from torch import Tensor

from headbench.heads import HEADS, Head
from headbench.heads.square import SquareHead, square, usual_rescaling
from tests.heads.helpers import CONTEXT, batch, make, slow_linear

LEARNS = {"linear.weight", "linear.bias"}


def slow_square(scores: Tensor, labels: Tensor, k: float, m: float) -> Tensor:
    """The mean over samples and classes of (z_c - M [c = y])^2, that of the own class k times."""
    terms = [
        k * (value - m) ** 2 if c == y else value**2
        for row, y in zip(scores.double(), labels.tolist(), strict=True)
        for c, value in enumerate(row)
    ]
    return torch.stack(terms).mean()


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ln(99 (C - 1)) z, with which a perfect fit has confidence 0.99; k = M = 1."""
    scores = slow_linear(head, features)
    scale = torch.log(torch.tensor(99.0 * (len(scores[0]) - 1), dtype=torch.float64))
    return scale * scores, slow_square(scores, labels, 1.0, 1.0)


def test_options() -> None:
    features, targets = batch(5, 8)
    head = make("square", own_weight=3.0, target=10.0)
    expected = slow_square(slow_linear(head, features[0].detach()), targets.labels, 3.0, 10.0)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected.item(), rel=1e-5)


def test_without_rescaling_it_is_torchs_mean_squared_error() -> None:
    scores, labels = torch.randn(7, 4), torch.tensor([0, 3, 1, 1, 2, 0, 3])
    one_hot = torch.nn.functional.one_hot(labels, 4).float()
    assert torch.allclose(square(scores, labels, 1.0, 1.0), torch.nn.functional.mse_loss(scores, one_hot))


@pytest.mark.parametrize(
    ("classes", "usual"),
    [(10, (1, 1)), (42, (1, 1)), (43, (1, 15)), (100, (1, 15)), (1000, (15, 30)), (8142, (15, 30))],
)
def test_many_classes_are_rescaled(classes: int, usual: tuple[float, float]) -> None:
    assert usual_rescaling(classes) == usual
    head = make("square", classes, 2)
    assert isinstance(head, SquareHead)
    assert (head.own_weight, head.target) == usual


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_perfect_fit_costs_nothing_and_has_confidence_99(classes: int) -> None:
    head = make("square", classes, classes)
    assert isinstance(head, SquareHead)
    head.load_state_dict({"linear.weight": head.target * torch.eye(classes), "linear.bias": torch.zeros(classes)})
    features = torch.eye(classes)
    assert square(head.linear(features), torch.arange(classes), 1.0, head.target).item() == pytest.approx(0, abs=1e-9)
    assert torch.allclose(head.logits(features).softmax(dim=1).diagonal(), torch.full((classes,), 0.99))
    assert torch.allclose(head.logits(features) / head.native_scale, head.linear(features))


def test_a_recipe_can_scale_it_by_name() -> None:
    assert HEADS.get("square").target.loss_name({}) == "square"
