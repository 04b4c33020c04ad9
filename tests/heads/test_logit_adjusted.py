"""Logit adjustment, in the loss and after it, against its formulas."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score
from torch import Tensor

from headbench.core.batch import Targets
from headbench.core.streams import generator
from headbench.heads import Context, Head
from headbench.heads.logit_adjusted import TAUS
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
    unsupported,
)

LEARNS = {"linear.weight", "linear.bias"}
BIASES = {"log_prior"}


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


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 40))
def test_the_chosen_tau_has_the_best_mean_accuracy_of_a_class(seed: int, size: int) -> None:
    """By scikit-learn, also where a class does not occur on validation."""
    stream = generator(seed, "test")
    features, labels = torch.randn(size, 8, generator=stream), torch.randint(0, 5, (size,), generator=stream)
    head = make_for(info(5, class_counts=RARE), "logit-adjusted", form="post-hoc", tau=None)
    before = head.logits(features)
    found = head.finalize(Context("finalize", collect=lambda *_: (features, labels, labels)))["tau"]
    accuracy = {}
    for tau in TAUS:
        other = make_for(info(5, class_counts=RARE), "logit-adjusted", form="post-hoc", tau=tau)
        predicted = other.logits(features).argmax(dim=1)
        accuracy[tau] = recall_score(labels, predicted, labels=labels.unique(), average="macro", zero_division=0)
        if tau == 1:
            assert torch.equal(before, other.logits(features))
        if tau == found:
            assert torch.allclose(head.logits(features), other.logits(features), atol=1e-6)
    assert found == next(tau for tau in TAUS if accuracy[tau] == pytest.approx(max(accuracy.values())))


def test_a_given_tau_is_kept() -> None:
    head = make("logit-adjusted", form="post-hoc", tau=0.5)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    assert head.finalize(CONTEXT) == {}
    assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())


@pytest.mark.parametrize(
    ("options", "val_size", "reason"),
    [
        ({"tau": None}, 9, "in the loss tau must be a number (paper: 1); only form: post-hoc chooses it on validation"),
        (
            {"form": "post-hoc", "tau": None},
            0,
            "tau is chosen on validation, and there is none; set val_fraction, or give tau (paper: 1)",
        ),
        ({"form": "post-hoc", "tau": None}, 9, None),
        ({"form": "post-hoc"}, 0, None),
    ],
)
def test_a_tau_to_choose_needs_validation(options: dict[str, Any], val_size: int, reason: str | None) -> None:
    assert unsupported("logit-adjusted", replace(info(5), val_size=val_size), 8, **options) == reason
