"""Maximum separation: the matrix, and what it does to the softmax."""

import pytest
import torch

from tests.heads.helpers import batch, info, make, unsupported
from tests.heads.test_frozen_linear import reference

__all__ = ["reference"]


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100])
def test_the_matrix(num_classes: int) -> None:
    """Upper triangular P with P P^T = C/(C-1) I, columns that sum to zero, by the recursion of the paper in float64."""
    head = make("max-separation", num_classes, num_classes - 1, rho=1.0)
    assert not list(head.parameters())
    matrix = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    for k in range(2, num_classes):
        top = torch.cat([torch.ones(1, dtype=torch.float64), torch.full((k,), -1 / k, dtype=torch.float64)])[None]
        below = torch.cat([torch.zeros(k - 1, 1, dtype=torch.float64), (1 - 1 / k**2) ** 0.5 * matrix], dim=1)
        matrix = torch.cat([top, below])
    assert torch.allclose(head.state_dict()["weight"].double().T, matrix, atol=1e-6)


def test_scores_sum_to_zero_and_every_direction_counts() -> None:
    head = make("max-separation", 5, 4)
    features, _ = batch(5, 4)
    assert torch.allclose(head.logits(features[0]).sum(dim=1), torch.zeros(12), atol=1e-6)
    assert torch.linalg.matrix_rank(head.state_dict()["weight"]) == 4
    assert torch.allclose(
        make("max-separation", 5, 4, rho=1.0).logits(features[0]), 10 * head.logits(features[0]), atol=1e-5
    )


def test_it_has_one_dimension_only() -> None:
    assert unsupported("max-separation", info(10), 9) is None
    for dim in (8, 10):
        reason = unsupported("max-separation", info(10), dim)
        assert reason == "the matrix of 10 classes has exactly 9 dimensions"


def test_with_radius_one_it_is_the_simplex_of_reponet() -> None:
    ours, theirs = make("max-separation", 7, 6, rho=1.0).state_dict(), make("reponet-simplex", 7, 6).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
