"""HPN against its formula."""

import pytest
import torch
from torch import Tensor

from core.batch import Targets
from heads import Head
from heads.prototypes import max_cosine, separated
from tests.heads.helpers import CONTEXT, batch, make, slow_squared_cosine


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The float64 formula."""
    return slow_squared_cosine(head.state_dict()["bank"], features, labels)


def test_the_papers_sum_is_loss_scale_times_batch_size() -> None:
    features, targets = batch(5, 8, size=16)
    head = make("hpn", loss_scale=16.0)
    cosines = torch.nn.functional.normalize(features[0], dim=1) @ head.state_dict()["bank"].T
    summed = sum((1 - cosines[i, y]) ** 2 for i, y in enumerate(targets.labels))
    assert torch.as_tensor(summed).item() == pytest.approx(head.loss(features, targets, CONTEXT).item(), rel=1e-5)


def test_the_loss_is_zero_at_the_prototypes_and_four_opposite() -> None:
    head = make("hpn")
    bank, labels = head.state_dict()["bank"], torch.arange(5)
    assert head.loss(3 * bank[None], Targets.plain(labels, labels), CONTEXT).item() == pytest.approx(0, abs=1e-10)
    assert head.loss(-2 * bank[None], Targets.plain(labels, labels), CONTEXT).item() == pytest.approx(4, abs=1e-5)


def test_predictions_are_the_nearest_prototypes() -> None:
    head = make("hpn", num_classes=7, dim=3)
    features, _ = batch(7, 3, size=50)
    bank = head.state_dict()["bank"]
    z = torch.nn.functional.normalize(features[0], dim=1)
    nearest = torch.cdist(z, bank).argmin(dim=1)
    assert torch.equal(head.logits(features[0]).argmax(dim=1), nearest)


def test_the_prototypes_are_the_separated_ones() -> None:
    head = make("hpn", num_classes=10, dim=3)
    assert torch.allclose(head.state_dict()["bank"].double(), separated(10, 3), atol=1e-7)
    assert max_cosine(separated(10, 3).numpy()) < 0.4045
