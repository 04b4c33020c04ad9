"""Mixup and CutMix: one lambda per batch, partners from the batch itself, labels that follow the pixels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headbench.core.batch import Batch, Targets
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.epoch import Epoch, batches
from headbench.data.loading.mixing import draw_box, draw_mixes, mix
from headbench.data.loading.resident import Resident

SHAPE = (1, 8, 8)


def batch(count: int = 6) -> Batch:
    """Images that are constant, with the value of their label."""
    labels = torch.arange(count)
    images = labels.float()[None, :, None, None, None].expand(2, count, *SHAPE).contiguous()
    return Batch(images, Targets.plain(labels, labels + 100))


def test_mixup_is_the_weighted_mean_of_an_image_and_its_partner() -> None:
    keys, weight = torch.tensor([0.3, 0.1, 0.9, 0.2, 0.8, 0.5]), torch.tensor(0.7)
    mixed = mix(batch(), keys, weight, None)
    partner = sorted(range(6), key=lambda i: keys[i].item())
    for i in range(6):
        assert torch.allclose(mixed.images[0, i], torch.tensor(0.7 * i + 0.3 * partner[i]))
    assert torch.equal(mixed.images[1], batch().images[1]), "a view that is not to be classified was mixed"
    (own, first), (other, second) = mixed.targets.pairs
    assert (own.tolist(), other.tolist()) == (list(range(6)), partner)
    assert (first.item(), second.item()) == pytest.approx((0.7, 0.3))
    assert mixed.targets.labels.tolist() == list(range(6))
    assert mixed.targets.indices.tolist() == list(range(100, 106))


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 4), st.integers(0, 10_000))
def test_the_weight_of_cutmix_is_the_part_of_the_pixels_that_stayed(alpha: float, seed: int) -> None:
    mixes = draw_mixes(6, 1, Augmentation(cutmix=alpha), SHAPE, seed, torch.device("cpu"))
    assert mixes is not None
    mixed = mix(batch(), mixes.keys, mixes.weights[0], mixes.boxes[0])
    (own, weight), (other, rest) = mixed.targets.pairs
    expected = own * weight + other * rest
    assert torch.allclose(mixed.images[0].mean(dim=(1, 2, 3)), expected, atol=1e-5)
    assert torch.equal(mixed.images[1], batch().images[1])
    assert weight + rest == pytest.approx(1)


def test_the_weights_follow_the_beta_distribution() -> None:
    mixes = draw_mixes(10, 4000, Augmentation(mixup=0.5), SHAPE, 0, torch.device("cpu"))
    assert mixes is not None
    expected = torch.distributions.Beta(0.5, 0.5)
    assert mixes.weights.mean().item() == pytest.approx(expected.mean.item(), abs=0.02)
    assert mixes.weights.var().item() == pytest.approx(expected.variance.item(), abs=0.01)
    assert set(mixes.boxes) == {None}


def test_with_both_each_batch_takes_one_at_random() -> None:
    mixes = draw_mixes(10, 1000, Augmentation(mixup=0.2, cutmix=1.0), SHAPE, 0, torch.device("cpu"))
    assert mixes is not None
    assert 400 < sum(box is None for box in mixes.boxes) < 600


def test_without_either_nothing_is_drawn() -> None:
    assert draw_mixes(10, 3, Augmentation(), SHAPE, 0, torch.device("cpu")) is None


def test_the_loader_mixes_each_batch_with_itself() -> None:
    values = torch.arange(20, dtype=torch.uint8)
    part = Resident(
        values[:, None, None, None].expand(20, *SHAPE).contiguous(),
        torch.arange(20),
        torch.arange(20),
        torch.tensor([0.0]),
        torch.tensor([1.0]),
    )
    seen = list(batches(part, Epoch(("plain",), Augmentation(mixup=1.0), 8, False, "instance", 0, 0)))
    for mixed in seen:
        (own, weight), (other, rest) = mixed.targets.pairs
        assert torch.equal(own.sort().values, other.sort().values)
        assert torch.allclose(mixed.images[0, :, 0, 0, 0] * 255, own * weight + other * rest, atol=1e-3)
    assert len({mixed.targets.pairs[0][1].item() for mixed in seen}) == 3


@pytest.mark.parametrize("weight", [0.3, 0.64])
def test_a_box_has_the_side_of_its_area_and_its_centre_anywhere(weight: float) -> None:
    random, side = np.random.default_rng(0), 20
    boxes = np.array([draw_box(weight, (3, side, side), random) for _ in range(4000)])
    length, half = int(side * math.sqrt(1 - weight)), int(side * math.sqrt(1 - weight)) // 2
    for start, end in (boxes[:, :2].T, boxes[:, 2:].T):
        centres = [(max(c - half, 0), min(c + length - half, side)) for c in range(side)]
        counts = [int(((start == low) & (end == high)).sum()) for low, high in centres]
        assert sum(counts) == len(boxes)
        assert all(abs(count - 200) < 90 for count in counts), "each centre is as likely"


def test_mixup_and_cutmix_have_an_alpha_each() -> None:
    """The weights of mixup are of Beta(0.2, 0.2), the areas of CutMix' boxes of a uniform lambda."""
    augmentation = Augmentation(mixup=0.2, cutmix=1.0)
    mixes = draw_mixes(1, 20_000, augmentation, (3, 1000, 1000), 0, torch.device("cpu"))
    assert mixes is not None
    mixup = [weight for weight, box in zip(mixes.weights.tolist(), mixes.boxes, strict=True) if box is None]
    assert stats.kstest(mixup, stats.beta(0.2, 0.2).cdf).pvalue > 1e-3
    whole = [box for box in mixes.boxes if box is not None and box[0] > 0 and box[1] < 1000 and box[2:] != (0, 1000)]
    random = np.random.default_rng(1)
    expected = [draw_box(random.uniform(), (3, 1000, 1000), random) for _ in range(10_000)]
    expected = [box for box in expected if box[0] > 0 and box[1] < 1000 and box[2:] != (0, 1000)]
    assert stats.ks_2samp([b - t for t, b, *_ in whole], [b - t for t, b, *_ in expected]).pvalue > 1e-3
