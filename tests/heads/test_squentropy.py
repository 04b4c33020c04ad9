"""Squentropy against its formula."""

import torch
from torch import Tensor

from headbench.heads import Head
from headbench.heads.squentropy import squentropy
from tests.heads.helpers import slow_cross_entropy, slow_linear

LEARNS = {"linear.weight", "linear.bias"}


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Scores z; cross-entropy and, sample by sample, the mean of z_c^2 over c != y."""
    scores = slow_linear(head, features)
    squares = [
        sum(value**2 for c, value in enumerate(row) if c != y) / (len(row) - 1)
        for row, y in zip(scores, labels.tolist(), strict=True)
    ]
    return scores, slow_cross_entropy(scores, labels) + torch.stack([torch.as_tensor(each) for each in squares]).mean()


def test_other_scores_are_drawn_to_zero_and_the_own_one_as_by_cross_entropy() -> None:
    scores, labels = torch.randn(6, 4, requires_grad=True), torch.tensor([0, 3, 1, 1, 2, 0])
    squentropy(scores, labels).backward()
    one_hot = torch.nn.functional.one_hot(labels, 4)
    expected = scores.softmax(dim=1) - one_hot + 2 * (1 - one_hot) * scores / 3
    assert scores.grad is not None
    assert torch.allclose(6 * scores.grad, expected, atol=1e-6)
