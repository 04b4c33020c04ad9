"""Orthonormal class matrices: the invariants of a projection, and the retraction."""

import pytest
import torch
from torch import Tensor

from headbench.heads import Head
from headbench.heads.orthonormal import orthonormal
from tests.heads.helpers import CONTEXT, batch, info, make, slow_cosines, slow_cross_entropy, unit64, unsupported

LEARNS = {"weight"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """16 times the root of the sum of squared coordinates along each class's vectors, entry by entry."""
    weight = head.state_dict()["weight"].double()
    logits = torch.stack(
        [torch.stack([16 * sum((w * z).sum() ** 2 for w in rows) ** 0.5 for rows in weight]) for z in unit64(features)]
    )
    return logits, slow_cross_entropy(logits, labels)


def error(head: Head) -> float:
    weight = head.state_dict()["weight"]
    return float((weight @ weight.mT - torch.eye(weight.shape[1])).abs().max())


def test_one_vector_is_the_absolute_cosine() -> None:
    head = make("orthonormal", vectors=1)
    features, _ = batch(5, 8)
    cosines = slow_cosines(head.state_dict()["weight"][:, 0], features[0].detach())
    assert (cosines < 0).any()
    assert torch.allclose(head.logits(features[0]).double(), 16 * cosines.abs(), atol=1e-4)
    assert torch.allclose(head.logits(-features[0]), head.logits(features[0]))


def test_as_many_vectors_as_dimensions_give_all_classes_the_whole_scale() -> None:
    head = make("orthonormal", vectors=8, scale=11.0)
    features, _ = batch(5, 8)
    assert torch.allclose(head.logits(features[0]), torch.tensor(11.0), atol=1e-4)


def test_another_basis_of_a_subspace_changes_nothing() -> None:
    head = make("orthonormal", vectors=3)
    features, targets = batch(5, 8)
    before, loss = head.logits(features[0]), head.loss(features, targets, CONTEXT)
    turns = torch.linalg.qr(torch.randn(5, 3, 3)).Q
    head.load_state_dict({"weight": turns @ head.state_dict()["weight"]})
    assert torch.allclose(head.logits(features[0]), before, atol=1e-5)
    assert torch.allclose(head.loss(features, targets, CONTEXT), loss, atol=1e-5)


def test_scores_lie_between_zero_and_the_scale_which_a_feature_in_the_subspace_reaches() -> None:
    head = make("orthonormal", vectors=3)
    logits = head.logits(batch(5, 8, size=200)[0][0])
    assert logits.min() >= 0
    assert logits.max() <= 16 + 1e-4
    within = torch.randn(4, 3) @ head.state_dict()["weight"][2]
    assert torch.allclose(head.logits(within)[:, 2], torch.tensor(16.0), atol=1e-4)


@pytest.mark.parametrize("vectors", [1, 4, 7])
def test_rows_are_orthonormal_after_every_step(vectors: int) -> None:
    head = make("orthonormal", vectors=vectors)
    assert error(head) < 1e-5
    optimiser = torch.optim.SGD(head.parameters(), lr=1.0, momentum=0.9, nesterov=True)
    before = head.state_dict()["weight"].clone()
    for step in range(20):
        features, targets = batch(5, 8, seed=step)
        optimiser.zero_grad()
        head.loss(features.detach(), targets, CONTEXT).backward()
        optimiser.step()
        assert error(head) > 1e-3 or vectors == 7 or step
        head.after_step()
        assert error(head) < 1e-5
    assert not torch.allclose(head.state_dict()["weight"], before, atol=0.05)


def test_the_retraction_keeps_what_is_orthonormal_and_the_span() -> None:
    rows = make("orthonormal", vectors=3).state_dict()["weight"]
    assert torch.allclose(orthonormal(rows), rows, atol=1e-6)
    mixed = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [-1.0, 3.0, 0.1]]) @ rows
    found = orthonormal(mixed)
    projection = found.mT @ found
    assert torch.allclose(mixed @ projection, mixed, atol=1e-5)


def test_it_needs_more_dimensions_than_vectors() -> None:
    assert unsupported("orthonormal", info(6), 5) is None
    assert unsupported("orthonormal", info(6), 4) == "vectors: 4 orthonormal vectors a class need d > 4"
    assert unsupported("orthonormal", info(6), 2, vectors=1) is None
