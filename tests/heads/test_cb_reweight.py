"""Class-balanced re-weighting, at once and deferred, against its formula."""

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
    slow_effective_weights,
    slow_linear,
    slow_mean,
)

LEARNS = {"linear.weight", "linear.bias"}
BIASES = {"class_weights"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores z; the weighted mean of -log p_y with beta = 0.9999."""
    scores = slow_linear(head, features)
    return scores, slow_mean(scores, labels, slow_effective_weights(info(len(scores[0])).class_counts, 0.9999))


@pytest.mark.parametrize("beta", [0.9, 0.999])
def test_beta(beta: float) -> None:
    features, targets = batch(5, 8)
    head = make_for(info(5, class_counts=RARE), "cb-reweight", beta=beta)
    expected = slow_mean(
        slow_linear(head, features[0].detach()), targets.labels, slow_effective_weights(torch.tensor(RARE), beta)
    )
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("epoch", "epochs", "weighted"), [(0, 200, False), (159, 200, False), (160, 200, True), (3, 5, False), (4, 5, True)]
)
def test_deferred_weights_begin_at_four_fifths_of_the_epochs(epoch: int, epochs: int, weighted: bool) -> None:
    features, targets = batch(5, 8)
    facts, context = info(5, class_counts=RARE), Context("train", epoch, epochs)
    deferred = make_for(facts, "cb-reweight", deferred=True)
    same = make_for(facts, "cb-reweight") if weighted else make("psc")
    assert torch.equal(deferred.loss(features, targets, context), same.loss(features, targets, context))
    assert not torch.allclose(
        make_for(facts, "cb-reweight").loss(features, targets, context), make("psc").loss(features, targets, context)
    )


def test_beta_of_zero_and_equal_counts_are_plain_cross_entropy() -> None:
    features, targets = batch(5, 8)
    plain = make("psc").loss(features, targets, CONTEXT)
    for head in (
        make_for(info(5, class_counts=RARE), "cb-reweight", beta=0.0),
        make_for(info(5, class_counts=[3] * 5), "cb-reweight"),
    ):
        assert torch.allclose(head.loss(features, targets, CONTEXT), plain, atol=1e-6)


def test_with_mixup_each_label_has_its_weight() -> None:
    features, targets = batch(5, 8)
    head = make_for(info(5, class_counts=RARE), "cb-reweight")
    other, weight = targets.labels.flip(0), torch.tensor(0.3)
    mixed = Targets(targets.labels, targets.indices, ((targets.labels, weight), (other, 1 - weight)))
    scores, weights = slow_linear(head, features[0].detach()), slow_effective_weights(torch.tensor(RARE), 0.9999)
    parts = [slow_mean(scores, labels, weights) for labels in (targets.labels, other)]
    assert head.loss(features, mixed, CONTEXT).item() == pytest.approx(float(0.3 * parts[0] + 0.7 * parts[1]), rel=1e-5)
