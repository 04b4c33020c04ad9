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
