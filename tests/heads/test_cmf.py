"""CMF against its formula, and the recursion of its class means."""

import math

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import Head
from tests.heads.helpers import CONTEXT, batch, make, observe_on_two_devices, slow_cross_entropy, unit64


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """10 cos with the means, which are unit vectors, or zero where a class was never seen."""
    means = head.state_dict()["weight"].double()
    logits = torch.stack([torch.stack([10 * (z * w).sum() for w in means]) for z in unit64(features)])
    return logits, slow_cross_entropy(logits, labels)


def test_a_mean_takes_the_mean_of_its_class_in_the_batch() -> None:
    """w <- normalise(0.99 w + 0.01 mean), by hand in float64; class 1 has two samples, class 2 none."""
    head = make("cmf", num_classes=3, dim=2)
    start = unit64(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]))
    head.load_state_dict({"weight": start.float()})
    features, labels = torch.tensor([[[0.0, 5.0], [3.0, 0.0], [1.0, 1.0]]]), torch.tensor([0, 1, 1])
    head.observe(features, Targets.plain(labels), CONTEXT)
    z = unit64(features[0])
    expected = unit64(
        torch.stack([0.99 * start[0] + 0.01 * z[0], 0.99 * start[1] + 0.01 * (z[1] + z[2]) / 2, start[2]])
    )
    found = head.state_dict()["weight"]
    assert torch.allclose(found.double(), expected, atol=1e-6)
    assert torch.equal(found[2], start[2].float())


def test_the_first_batch_sets_a_mean_and_a_class_never_seen_has_none() -> None:
    head, label = make("cmf", num_classes=3, dim=2), torch.tensor([1])
    features = torch.tensor([[[3.0, 4.0]]])
    assert head.loss(features, Targets.plain(label), CONTEXT).item() == pytest.approx(math.log(3))
    head.observe(features, Targets.plain(label), CONTEXT)
    assert torch.allclose(head.state_dict()["weight"], torch.tensor([[0.0, 0.0], [0.6, 0.8], [0.0, 0.0]]))
    head.observe(torch.zeros(1, 1, 2), Targets.plain(label), CONTEXT)
    assert torch.allclose(head.state_dict()["weight"][1], torch.tensor([0.6, 0.8]))


def test_two_equal_views_count_as_two_samples() -> None:
    one, two = make("cmf"), make("cmf")
    features, targets = batch(5, 8)
    one.observe(torch.cat([features, features], dim=1), Targets.plain(targets.labels.repeat(2)), CONTEXT)
    two.observe(features.expand(2, -1, -1), targets, CONTEXT)
    assert torch.allclose(one.state_dict()["weight"], two.state_dict()["weight"], atol=1e-6)


def test_two_devices_know_the_same_means_as_one() -> None:
    one, two = make("cmf"), make("cmf")
    features, targets = batch(5, 8)
    one.observe(features, targets, CONTEXT)
    observe_on_two_devices(two, features, targets)
    assert torch.allclose(one.state_dict()["weight"], two.state_dict()["weight"], atol=1e-6)


def test_its_scale_and_momentum_are_options() -> None:
    head = make("cmf", scale=7.0, momentum=0.0)
    features, targets = batch(5, 8)
    for _ in range(2):
        head.observe(features.detach(), targets, CONTEXT)
    sums = torch.stack([unit64(features[0].detach())[targets.labels == c].sum(dim=0) for c in range(5)])
    assert torch.allclose(head.state_dict()["weight"].double(), unit64(sums).nan_to_num(), atol=1e-6)
    assert head.native_scale == 7
    assert head.logits(features[0]).abs().max() <= 7 + 1e-5
