"""Supervised contrastive losses against slow float64 loops, and what they must not depend on."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from headbench.heads.families.contrastive import contrast, distinct, evenly, similarities, supervised_contrastive
from headbench.heads.normalisation import unit


def points(size: int, dim: int = 4, seed: int = 0) -> Tensor:
    return unit(torch.randn(size, dim, generator=torch.Generator().manual_seed(seed)))


def slow_supervised_contrastive(features: Tensor, labels: list[int], temperature: float) -> float:
    """The definition, pair by pair in float64."""
    rows, losses = features.double().tolist(), []
    for i, anchor in enumerate(rows):
        score = [sum(a * b for a, b in zip(anchor, row, strict=True)) / temperature for row in rows]
        denominator = sum(math.exp(score[k]) for k in range(len(rows)) if k != i)
        own = [
            -math.log(math.exp(score[p]) / denominator) for p in range(len(rows)) if p != i and labels[p] == labels[i]
        ]
        losses.append(sum(own) / len(own) if own else 0.0)
    return sum(losses) / len(losses)


@settings(max_examples=25, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=9),
    temperature=st.sampled_from([0.05, 0.1, 1.0]),
    seed=st.integers(0, 100),
)
def test_agrees_with_the_double_loop(labels: list[int], temperature: float, seed: int) -> None:
    features = points(len(labels), seed=seed)
    loss = supervised_contrastive(features, torch.tensor(labels), temperature)
    assert loss.item() == pytest.approx(slow_supervised_contrastive(features, labels, temperature), abs=1e-5, rel=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    labels = torch.tensor([0, 1, 0, 2, 1])
    raw = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: supervised_contrastive(unit(x), labels, 0.2), (raw,))


@pytest.mark.parametrize("labels", [[0], [0, 1, 2, 3], [2, 2, 2, 2]])
def test_features_without_positives_or_others_count_with_zero(labels: list[int]) -> None:
    features = points(len(labels)).requires_grad_()
    loss = supervised_contrastive(features, torch.tensor(labels), 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(slow_supervised_contrastive(features.detach(), labels, 0.1), rel=1e-5)
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_a_tiny_temperature_does_not_overflow() -> None:
    """At 1/T = 100,000 the loss is that of the nearest member: (max_k cos_k - cos_p) / T."""
    features, labels = points(6).double(), torch.tensor([0, 1, 0, 1, 0, 1])
    cosines = features @ features.T
    nearest = (cosines - 3 * torch.eye(6)).amax(dim=1)
    expected = [
        sum((nearest[i] - cosines[i, p]) * 1e5 for p in range(6) if p != i and (p - i) % 2 == 0) / 2 for i in range(6)
    ]
    loss = supervised_contrastive(features.float(), labels, 1e-5)
    assert loss.item() == pytest.approx(float(sum(expected)) / 6, rel=1e-4)


def test_half_precision_features_are_compared_in_float32() -> None:
    """Under autocast too, where a plain product would be bfloat16."""
    features, labels = points(8, 16).bfloat16(), torch.tensor([0, 1] * 4)
    plain = supervised_contrastive(features.float(), labels, 0.01)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(supervised_contrastive(features, labels, 0.01), plain)
        assert torch.equal(supervised_contrastive(features.float(), labels, 0.01), plain)


def test_the_loss_is_least_where_classes_are_points() -> None:
    """Classes at opposite poles, by hand: one positive at 2, two others at -2."""
    features = torch.tensor([[1.0, 0.0]] * 2 + [[-1.0, 0.0]] * 2)
    loss = supervised_contrastive(features, torch.tensor([0, 0, 1, 1]), 0.5)
    assert loss.item() == pytest.approx(math.log(1 + 2 * math.exp(-4)), rel=1e-5)


def test_masks_weights_and_sizes() -> None:
    """An anchor and three members by hand: the second is not in the denominator, the third is divided by 2."""
    similarity = torch.tensor([[1.0, 7.0, 3.0]], dtype=torch.float64)
    others, log_sizes = torch.tensor([[True, False, True]]), torch.tensor([[1.0, 1.0, 2.0]]).log()
    total = math.log(math.exp(1) + math.exp(3) / 2)
    loss = contrast(similarity, torch.tensor([[0.25, 0.5, 0.125]]), others, log_sizes)
    assert loss.item() == pytest.approx(0.25 * (total - 1) + 0.5 * (total - 7) + 0.125 * (total - 3), rel=1e-6)


def test_anchors_look_at_all_members_but_themselves() -> None:
    assert distinct(points(2), points(3)).tolist() == [[False, True, True], [True, False, True]]
    assert evenly(torch.tensor([[True, True, False], [False, False, False]])).tolist() == [[0.5, 0.5, 0], [0, 0, 0]]


def test_each_anchor_may_have_its_own_temperature() -> None:
    a, b = points(2), points(3, seed=1)
    found = similarities(a, b, torch.tensor([[0.1], [0.5]]))
    assert torch.allclose(found, torch.stack([a[0] @ b.T / 0.1, a[1] @ b.T / 0.5]))
