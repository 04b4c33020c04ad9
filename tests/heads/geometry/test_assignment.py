"""Assignment against brute force."""

import itertools

import pytest
import torch

from headbench.heads.geometry.assignment import assign


@pytest.mark.parametrize("size", range(1, 8))
def test_assignment_equals_brute_force(size: int) -> None:
    similarity = torch.randn(size, size, generator=torch.Generator().manual_seed(size))
    best = max(
        sum(similarity[c, k].double().item() for c, k in enumerate(order))
        for order in itertools.permutations(range(size))
    )
    assignment = assign(similarity).tolist()
    assert sorted(assignment) == list(range(size))
    assert sum(similarity[c, k].double().item() for c, k in enumerate(assignment)) == pytest.approx(best)


def test_what_is_not_finite_is_assigned_too_so_that_the_loss_can_tell() -> None:
    similarity = torch.tensor([[0.1, 0.9], [torch.nan, torch.inf]])
    assert sorted(assign(similarity).tolist()) == [0, 1]
