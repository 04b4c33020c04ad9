"""What DNC's released code does in effect: two layer normalisations, and centroids that hardly move."""

import math

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Targets
from headbench.heads import Head
from headbench.heads.dnc_released import noise
from tests.heads.helpers import (
    CONTEXT,
    batch,
    info,
    make,
    observe_on_two_devices,
    slow_cross_entropy,
    unit64,
    unsupported,
)

LEARNS = {"feature_norm.weight", "feature_norm.bias", "score_norm.weight", "score_norm.bias"}
VECTORS = {"centroids"}
BIASES = {"score_norm.weight", "score_norm.bias"}
# A layer normalisation subtracts the mean of the features.
AXES = True


def slow_layer_norm(row: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean: float = sum(row.tolist()) / len(row)
    variance: float = sum((x - mean) ** 2 for x in row.tolist()) / len(row)
    return (row - mean) / math.sqrt(variance + 1e-5) * weight + bias


def directions(head: Head, features: Tensor) -> Tensor:
    state = {key: value.double() for key, value in head.state_dict().items()}
    norm = state["feature_norm.weight"], state["feature_norm.bias"]
    return unit64(torch.stack([slow_layer_norm(row.double(), *norm) for row in features]))


def reference(head: Head, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Layer normalisation, the largest cosine of each class, layer normalisation."""
    state = {key: value.double() for key, value in head.state_dict().items()}
    cosines = torch.stack(
        [
            torch.stack([max((p * z).sum() for p in own) for own in state["centroids"]])
            for z in directions(head, features)
        ]
    )
    norm = state["score_norm.weight"], state["score_norm.bias"]
    logits = torch.stack([slow_layer_norm(row, *norm) for row in cosines])
    return logits, slow_cross_entropy(logits, labels)


def test_the_assignment_is_noise() -> None:
    """Even over centroids, and at another step independent of the one before."""
    indices = torch.arange(40_000)
    first, second = (noise(indices, torch.tensor(step), 4) for step in (5, 6))
    pairs = (4 * first + second).bincount(minlength=16) / len(indices)
    assert torch.allclose(pairs, torch.full((16,), 1 / 16), atol=0.005)
    order = torch.randperm(40_000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(noise(indices[order], torch.tensor(5), 4), first[order])
    successive = (4 * first[:-1] + first[1:]).bincount(minlength=16) / len(indices)
    assert torch.allclose(successive, torch.full((16,), 1 / 16), atol=0.01)


def test_centroids_move_once_a_period_from_correct_samples_only() -> None:
    """p <- normalise(0.999 p + 0.001 normalise(sum)) after three steps, by hand; nothing before, and then anew."""
    head = make("dnc-released", period=3)
    start = head.state_dict()["centroids"].double()
    sums = torch.zeros(5, 4, 8, dtype=torch.float64)
    judged = [0, 0]
    for step in range(3):
        features, targets = batch(5, 8, size=40, seed=step)
        z, logits = directions(head, features[0].detach()), reference(head, features[0].detach(), targets.labels)[0]
        assert torch.equal(head.state_dict()["centroids"].double(), start)
        head.observe(features.detach(), targets, CONTEXT)
        places = noise(targets.indices, torch.tensor(step), 4)
        for row, y, own, k in zip(z, targets.labels.tolist(), logits, places.tolist(), strict=True):
            correct = own.argmax().item() == y
            judged[correct] += 1
            if correct:
                sums[y, k] += row
    assert min(judged) > 10
    moved = torch.nn.functional.normalize(0.999 * start + 0.001 * torch.nn.functional.normalize(sums, dim=2), dim=2)
    found = head.state_dict()
    assert torch.allclose(found["centroids"].double(), moved, atol=1e-7)
    assert (found["centroids"].double() - start).norm(dim=2).max() > 5e-4
    assert not found["sums"].any()
    assert not found["members"].any()


def test_a_centroid_without_a_correct_sample_stays() -> None:
    head = make("dnc-released", period=1)
    before = head.state_dict()["centroids"].clone()
    features = torch.randn(1, 1, 8, generator=torch.Generator().manual_seed(0))
    scores = head.logits(features[0])
    head.observe(features, Targets.plain(scores.argmin(dim=1)), CONTEXT)
    assert torch.equal(head.state_dict()["centroids"], before)
    head.observe(features, Targets.plain(scores.argmax(dim=1)), CONTEXT)
    changed = (head.state_dict()["centroids"] != before).any(dim=2)
    assert changed.sum() == 1
    assert changed[scores.argmax()].any()


def test_it_is_all_but_a_fixed_head_by_default() -> None:
    head = make("dnc-released")
    before = head.state_dict()["centroids"].clone()
    for step in range(999):
        features, targets = batch(5, 8, size=6, seed=step % 7)
        head.observe(features.detach(), targets, CONTEXT)
    assert torch.equal(head.state_dict()["centroids"], before)
    head.observe(features.detach(), targets, CONTEXT)
    moved = (head.state_dict()["centroids"] - before).norm(dim=2)
    assert 0 < moved.max() < 0.003


def test_two_devices_keep_the_same_sums_as_one() -> None:
    one, two = make("dnc-released"), make("dnc-released")
    features, targets = batch(5, 8)
    one.observe(features, targets, CONTEXT)
    observe_on_two_devices(two, features, targets)
    assert one.state_dict()["sums"].any()
    assert all(torch.allclose(one.state_dict()[key], value, atol=1e-6) for key, value in two.state_dict().items())


@pytest.mark.parametrize(("num_classes", "dim"), [(2, 8), (5, 2)])
def test_it_needs_three_of_each(num_classes: int, dim: int) -> None:
    assert unsupported("dnc-released", info(num_classes), dim) == "its layer normalisations need d >= 3 and 3 classes"
    assert unsupported("dnc-released", info(3), 3) is None
