"""Logit adjustment, in the loss and after it, against its formulas."""

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
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
BIASES = {"adjustment"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores z; cross-entropy of z + log pi."""
    scores = slow_linear(head, features)
    return scores, slow_cross_entropy(scores + slow_log_prior(info(len(scores[0])).class_counts), labels)


@pytest.mark.parametrize("tau", [0.0, 0.5, 2.0])
def test_tau_is_a_factor_on_the_log_prior(tau: float) -> None:
    features, targets = batch(5, 8)
    head = make_for(info(5, class_counts=RARE), "logit-adjusted", tau=tau)
    scores = slow_linear(head, features[0].detach())
    expected = slow_cross_entropy(scores + tau * slow_log_prior(torch.tensor(RARE)), targets.labels)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(head.logits(features[0]).double(), scores, atol=1e-5)


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5])
def test_post_hoc_trains_plain_cross_entropy_and_takes_the_prior_off(tau: float) -> None:
    features, targets = batch(5, 8)
    head, plain = make_for(info(5, class_counts=RARE), "logit-adjusted", form="post-hoc", tau=tau), make("psc")
    assert torch.equal(head.loss(features, targets, CONTEXT), plain.loss(features, targets, CONTEXT))
    expected = slow_linear(plain, features[0].detach()) - tau * slow_log_prior(torch.tensor(RARE))
    for trains in (True, False):
        head.train(trains)
        assert torch.allclose(head.logits(features[0]).double(), expected, atol=1e-5)
    if not tau:
        assert torch.equal(head.logits(features[0]), plain.logits(features[0]))


def test_post_hoc_is_what_the_loss_learns_where_the_prior_is_all_that_is_known() -> None:
    """Of features that say nothing both give every class the same score: plain softmax learns b = log pi, the loss
    form b = 0.
    """
    shares = torch.tensor(RARE) / sum(RARE)
    post_hoc = make_for(info(5, class_counts=RARE), "logit-adjusted", form="post-hoc")
    in_loss = make_for(info(5, class_counts=RARE), "logit-adjusted")
    nothing = torch.zeros(1, 8)
    for head, bias in ((post_hoc, shares.log()), (in_loss, torch.zeros(5))):
        head.load_state_dict(head.state_dict() | {"linear.bias": bias})
        assert torch.allclose(head.logits(nothing).softmax(dim=1), torch.full((1, 5), 0.2), atol=1e-6)
        gradient = torch.autograd.grad(
            sum(
                share * head.loss(nothing[None], Targets.plain(torch.tensor([label])), CONTEXT)
                for label, share in enumerate(shares)
            ),
            [dict(head.named_parameters())["linear.bias"]],
        )
        assert torch.allclose(gradient[0], torch.zeros(5), atol=1e-6)


def test_equal_counts_change_nothing() -> None:
    features, targets = batch(5, 8)
    facts = info(5, class_counts=[3] * 5)
    plain = make("psc")
    for form in ("loss", "post-hoc"):
        head = make_for(facts, "logit-adjusted", form=form)
        assert torch.allclose(head.loss(features, targets, CONTEXT), plain.loss(features, targets, CONTEXT), atol=1e-6)
        assert torch.allclose(
            head.logits(features[0]).softmax(dim=1), plain.logits(features[0]).softmax(dim=1), atol=1e-6
        )
