"""Shared losses and the confidence scale."""

import pytest
import torch

from headbench.core.batch import Targets
from headbench.heads.geometry.codes import simplex
from headbench.heads.losses import confidence_scale, cross_entropy, mixed, squared_cosine


@pytest.mark.parametrize("num_classes", [2, 10, 100])
@pytest.mark.parametrize("confidence", [0.6, 0.99])
def test_the_scale_gives_its_confidence_at_a_simplex_vertex(num_classes: int, confidence: float) -> None:
    points = torch.from_numpy(simplex(num_classes, num_classes - 1))
    shares = torch.softmax(confidence_scale(num_classes, confidence) * points @ points.T, dim=1)
    assert torch.allclose(shares.diagonal(), torch.full((num_classes,), confidence, dtype=torch.float64))


def test_mixed_weighs_the_pairs_of_the_first_view_and_averages_views_by_hand() -> None:
    scores = torch.randn(3, 4, 3, dtype=torch.float64)
    a, b = torch.tensor([0, 1, 2, 0]), torch.tensor([2, 2, 1, 0])
    targets = Targets(
        a, torch.arange(4), ((a, torch.tensor(0.7, dtype=torch.float64)), (b, torch.tensor(0.3, dtype=torch.float64)))
    )
    total = 0.0
    for number, view in enumerate(scores):
        share = 0.3 if number == 0 else 0.0
        for row, first, second in zip(view, a, b, strict=True):
            log_shares = row - torch.logsumexp(row, dim=0)
            total -= (1 - share) * log_shares[first].item() + share * log_shares[second].item()
    assert mixed(cross_entropy, scores, targets).item() == pytest.approx(total / 12)


def test_squared_cosine_by_hand() -> None:
    cosines = torch.tensor([[0.5, 1.0], [-1.0, 0.0]])
    assert squared_cosine(cosines, torch.tensor([0, 0])).item() == pytest.approx((0.25 + 4) / 2)
