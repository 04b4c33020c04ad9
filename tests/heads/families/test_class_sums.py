"""Sums by class against a loop."""

import torch

from headbench.heads.families.class_sums import class_sums, directions
from tests.heads.helpers import CONTEXT, batch, unit64


def test_sums_and_numbers_are_those_of_a_loop() -> None:
    rows, labels = torch.randn(7, 3), torch.tensor([2, 0, 2, 2, 4, 0, 2])
    sums, counts = class_sums(rows, labels, 5)
    for c in range(5):
        own = [row.double() for row, y in zip(rows, labels, strict=True) if y == c]
        assert counts[c].item() == len(own)
        assert torch.allclose(sums[c].double(), sum(own, torch.zeros(3, dtype=torch.float64)), atol=1e-6)


def test_directions_are_unit_features_of_all_views_with_their_labels() -> None:
    features, targets = batch(4, 3, size=5, views=2)
    z, labels = directions(features, targets, CONTEXT)
    assert torch.equal(labels, torch.cat([targets.labels, targets.labels]))
    assert torch.allclose(z.double(), unit64(features.detach()).flatten(0, 1), atol=1e-6)
