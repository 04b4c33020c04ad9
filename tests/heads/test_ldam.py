"""LDAM and its deferred re-weighting against their formulas."""

from typing import Any

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import Context, Head
from tests.heads.helpers import (
    CONTEXT,
    RARE,
    batch,
    info,
    make,
    make_for,
    slow_cosines,
    slow_effective_weights,
    slow_mean,
)

LEARNS = {"weight"}
BIASES = {"margins", "class_weights"}
BEFORE, AFTER = Context("train", 39, 50), Context("train", 40, 50)


def slow_ldam(
    cosines: Tensor, labels: Tensor, counts: Tensor, weights: list[float], scale: float = 30.0, largest: float = 0.5
) -> Tensor:
    """Weighted mean of -log p_y with p the softmax of s (cos - m_y e_y), m_c = largest (n_min / n_c)^(1/4)."""
    margins = [largest * (min(counts.tolist()) / count) ** 0.25 for count in counts.tolist()]
    lowered = cosines.clone()
    for i, y in enumerate(labels.tolist()):
        lowered[i, y] -= margins[y]
    return slow_mean(scale * lowered, labels, weights)


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits 30 cos; in the only epoch of a stage the samples are weighted."""
    cosines = slow_cosines(head.state_dict()["weight"], features)
    counts = info(len(cosines[0])).class_counts
    return 30 * cosines, slow_ldam(cosines, labels, counts, slow_effective_weights(counts, 0.9999))


@pytest.mark.parametrize(
    ("options", "context", "weighted"),
    [
        ({}, BEFORE, False),
        ({}, AFTER, True),
        ({"drw": False}, AFTER, False),
        ({"scale": 10.0, "margin": 0.3}, AFTER, True),
    ],
)
def test_weights_begin_at_four_fifths_of_the_epochs(options: dict[str, Any], context: Context, weighted: bool) -> None:
    features, targets = batch(5, 8)
    head, counts = make_for(info(5, class_counts=RARE), "ldam", **options), torch.tensor(RARE)
    cosines = slow_cosines(head.state_dict()["weight"], features[0].detach())
    weights = slow_effective_weights(counts, 0.9999) if weighted else [1.0] * 5
    expected = slow_ldam(
        cosines, targets.labels, counts, weights, options.get("scale", 30.0), options.get("margin", 0.5)
    )
    assert head.loss(features, targets, context).item() == pytest.approx(expected.item(), rel=1e-5)


def test_equal_margins_are_cosface_and_none_the_cosine_softmax() -> None:
    features, targets = batch(5, 8)
    facts = info(5, class_counts=[9] * 5)
    for own, other in (
        (make_for(facts, "ldam", margin=0.35), make("cosface", scale=30.0, margin=0.35)),
        (make_for(facts, "ldam", margin=0.0), make("psc-cosine", scale=30.0)),
    ):
        assert torch.allclose(own.loss(features, targets, AFTER), other.loss(features, targets, AFTER), atol=1e-5)


def test_neither_the_length_of_a_feature_nor_a_margin_in_evaluation_counts() -> None:
    features, targets = batch(5, 8)
    head = make_for(info(5, class_counts=RARE), "ldam")
    longer = features * torch.linspace(0.1, 9, 12)[:, None]
    assert torch.allclose(head.loss(features, targets, AFTER), head.loss(longer, targets, AFTER), atol=1e-5)
    assert torch.allclose(head.logits(features[0]), make("psc-cosine", scale=30.0).logits(features[0]), atol=1e-5)


def test_weights_start_at_unit_length() -> None:
    assert torch.allclose(make("ldam").state_dict()["weight"].norm(dim=1), torch.ones(5))


def test_with_mixup_each_label_has_its_margin_and_weight() -> None:
    features, targets = batch(5, 8)
    head, counts = make_for(info(5, class_counts=RARE), "ldam"), torch.tensor(RARE)
    other, weight = targets.labels.flip(0), torch.tensor(0.3)
    mixed = Targets(targets.labels, targets.indices, ((targets.labels, weight), (other, 1 - weight)))
    cosines = slow_cosines(head.state_dict()["weight"], features[0].detach())
    weights = slow_effective_weights(counts, 0.9999)
    parts = [slow_ldam(cosines, labels, counts, weights) for labels in (targets.labels, other)]
    assert head.loss(features, mixed, CONTEXT).item() == pytest.approx(float(0.3 * parts[0] + 0.7 * parts[1]), rel=1e-5)


def test_a_batch_of_one_class_is_not_weighted() -> None:
    """The mean is divided by the sum of the weights."""
    features, targets = batch(5, 8)
    targets = Targets.plain(torch.full_like(targets.labels, 4), targets.indices)
    head = make_for(info(5, class_counts=RARE), "ldam")
    assert torch.allclose(head.loss(features, targets, BEFORE), head.loss(features, targets, AFTER))
