"""Balanced softmax against its formula, log n added in the loss alone."""

import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import Head
from tests.heads.helpers import CONTEXT, RARE, batch, info, make, make_for, slow_cross_entropy, slow_linear

LEARNS = {"linear.weight", "linear.bias"}
BIASES = {"log_prior"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores z; cross-entropy of z + log n, with the counts and not their shares."""
    scores = slow_linear(head, features)
    return scores, slow_cross_entropy(scores + info(len(scores[0])).class_counts.double().log(), labels)


def test_equal_counts_are_plain_cross_entropy() -> None:
    features, targets = batch(5, 8)
    balanced = make_for(info(5, class_counts=[7] * 5), "balanced-softmax")
    assert torch.allclose(
        balanced.loss(features, targets, CONTEXT), make("psc").loss(features, targets, CONTEXT), atol=1e-6
    )


def test_it_is_logit_adjustment_with_tau_one() -> None:
    features, targets = batch(5, 8)
    facts = info(5, class_counts=RARE)
    balanced, adjusted = make_for(facts, "balanced-softmax"), make_for(facts, "logit-adjusted", tau=1.0)
    losses = [head.loss(features, targets, CONTEXT) for head in (balanced, adjusted)]
    assert torch.allclose(losses[0], losses[1], atol=1e-6)
    assert abs(losses[0] - make("psc").loss(features, targets, CONTEXT)) > 0.1


def test_prediction_does_not_know_the_counts() -> None:
    features, _ = batch(5, 8)
    rare = make_for(info(5, class_counts=RARE), "balanced-softmax")
    assert torch.equal(rare.logits(features[0]), make("psc").logits(features[0]))


def test_at_equal_scores_the_rare_class_is_pulled_hardest() -> None:
    """The gradient by the own score is pi_y - 1, where plain cross-entropy has 1/C - 1 for all."""
    head = make_for(info(3, class_counts=[70, 20, 10]), "balanced-softmax")
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    for label, share in enumerate([0.7, 0.2, 0.1]):
        head.zero_grad()
        head.loss(batch(3, 8, size=1)[0], Targets.plain(torch.tensor([label])), CONTEXT).backward()
        bias = dict(head.named_parameters())["linear.bias"].grad
        assert bias is not None
        assert torch.allclose(bias[label], torch.tensor(share - 1), atol=1e-6)
