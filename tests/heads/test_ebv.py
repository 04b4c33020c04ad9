"""EBV against its formula, and its prototypes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from headbench.heads import Head
from headbench.heads.geometry import methods
from tests.heads.helpers import CONTEXT, batch, make, slow_cosines, slow_cross_entropy


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """cos / 0.07 and cross-entropy with a tenth of the target spread over all classes."""
    logits = slow_cosines(head.state_dict()["bank"], features) / 0.07
    return logits, slow_cross_entropy(logits, labels, smoothing=0.1)


@pytest.mark.parametrize(("num_classes", "dim", "least"), [(8, 8, 0.0), (3, 2, 0.5), (6, 3, 5**-0.5), (16, 6, 1 / 3)])
def test_absolute_cosines_are_as_small_as_can_be(
    num_classes: int, dim: int, least: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Orthonormal, three and six equiangular lines, and sixteen in six dimensions: the Welch bound where reached.

    An eighth of the usual restarts finds them.
    """
    monkeypatch.setattr(methods, "RESTARTS", 4)
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))
    bank = make("ebv", num_classes, dim).state_dict()["bank"].double()
    largest = (bank @ bank.T).abs().fill_diagonal_(0).max().item()
    assert least - 1e-6 <= largest <= least + 1e-4


def test_temperature_and_smoothing_are_options() -> None:
    features, targets = batch(5, 8)
    head = make("ebv", temperature=0.3, label_smoothing=0.25)
    logits = slow_cosines(head.state_dict()["bank"], features[0].detach()) / 0.3
    expected = slow_cross_entropy(logits, targets.labels, smoothing=0.25)
    assert torch.allclose(head.logits(features[0]).double(), logits, atol=1e-5)
    assert head.loss(features, targets, CONTEXT).item() == pytest.approx(expected.item(), rel=1e-5)
