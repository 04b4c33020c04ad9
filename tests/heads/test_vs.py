"""Vector scaling against its formula and the losses that it contains."""

import pytest
import torch
from torch import Tensor

from headbench.heads import Head
from tests.heads.helpers import (
    CONTEXT,
    RARE,
    batch,
    info,
    make,
    make_for,
    slow_cross_entropy,
    slow_linear,
    slow_log_prior,
)

LEARNS = {"linear.weight", "linear.bias"}
BIASES = {"factor", "shift"}


def slow_vs(scores: Tensor, labels: Tensor, counts: Tensor, gamma: float, tau: float) -> Tensor:
    """Cross-entropy of z_c / a_c + tau log pi_c with a_c = (n_max / n_c)^gamma, as the released code writes it."""
    temperatures = torch.tensor([(max(counts.tolist()) / count) ** gamma for count in counts.tolist()])
    return slow_cross_entropy(scores / temperatures.double() + tau * slow_log_prior(counts), labels)


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores z; the loss with gamma = 0.2 and tau = 1.2."""
    scores = slow_linear(head, features)
    return scores, slow_vs(scores, labels, info(len(scores[0])).class_counts, 0.2, 1.2)


@pytest.mark.parametrize(("gamma", "tau"), [(0.3, 1.0), (0.15, 1.25), (0.05, 0.75)])
def test_options(gamma: float, tau: float) -> None:
    features, targets = batch(5, 8)
    head = make_for(info(5, class_counts=RARE), "vs", gamma=gamma, tau=tau)
    expected = slow_vs(slow_linear(head, features[0].detach()), targets.labels, torch.tensor(RARE), gamma, tau)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_contains_cross_entropy_and_logit_adjustment() -> None:
    features, targets = batch(5, 8)
    facts = info(5, class_counts=RARE)
    plain, adjusted = make("psc"), make_for(facts, "logit-adjusted", tau=0.7)
    none, additive = (make_for(facts, "vs", gamma=0.0, tau=tau) for tau in (0.0, 0.7))
    for own, other in ((none, plain), (additive, adjusted)):
        assert torch.equal(own.loss(features, targets, CONTEXT), other.loss(features, targets, CONTEXT))
        assert torch.equal(own.logits(features[0]), other.logits(features[0]))


def test_without_tau_it_is_class_dependent_temperatures() -> None:
    """A temperature for each class: as plain softmax with the class's weight and bias divided by it."""
    features, targets = batch(5, 8)
    head, scaled = make_for(info(5, class_counts=RARE), "vs", gamma=0.4, tau=0.0), make("psc")
    temperatures = torch.tensor([(500 / count) ** 0.4 for count in RARE])
    state = scaled.state_dict()
    scaled.load_state_dict(
        {
            "linear.weight": state["linear.weight"] / temperatures[:, None],
            "linear.bias": state["linear.bias"] / temperatures,
        }
    )
    assert torch.allclose(head.loss(features, targets, CONTEXT), scaled.loss(features, targets, CONTEXT), atol=1e-6)
    assert not torch.allclose(head.logits(features[0]), scaled.logits(features[0]))


def test_equal_counts_are_plain_cross_entropy() -> None:
    features, targets = batch(5, 8)
    head = make_for(info(5, class_counts=[3] * 5), "vs")
    assert torch.allclose(
        head.loss(features, targets, CONTEXT), make("psc").loss(features, targets, CONTEXT), atol=1e-6
    )
