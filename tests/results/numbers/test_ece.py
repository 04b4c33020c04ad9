"""The debiased ECE: its floor against drawn labels, its interval against the truth in simulations."""

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax

from headbench.results.numbers import ece
from headbench.results.numbers.calibration import Bins, reliability

EDGES = np.linspace(0, 1, 16)
DRAWS = 120


@cache
def population(sharpness: float, stated: float) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, stated with ``stated`` times the logits (more than 1: overconfident), and chances to be right of
    200,000 images of ten classes.
    """
    logits = sharpness * np.random.default_rng(0).standard_normal((200_000, 10))
    return softmax(stated * logits, axis=1).max(axis=1), softmax(logits, axis=1).max(axis=1)


def truth(confidence: np.ndarray, chance: np.ndarray) -> float:
    """The ECE of a population, in closed form."""
    which = np.searchsorted(EDGES, confidence) - 1
    return float(np.abs(np.bincount(which, chance - confidence)).sum() / len(which))


def sample(rng: np.random.Generator, n: int, sharpness: float, stated: float) -> Bins:
    """The bins of n images of a population."""
    confidence, chance = population(sharpness, stated)
    picked = rng.integers(len(chance), size=n)
    return reliability(confidence[picked], rng.random(n) < chance[picked], EDGES)


def drawn(rng: np.random.Generator, n: int, gap: np.ndarray) -> Bins:
    """Confidences of density 3 c^2, accuracies lower by the gap of their bin."""
    confidence = rng.random(n) ** (1 / 3)
    return reliability(confidence, rng.random(n) < confidence - gap[np.searchsorted(EDGES, confidence) - 1], EDGES)


@pytest.mark.parametrize("n", [360, 2_000, 10_000])
@pytest.mark.parametrize("sharpness", [1.5, 6.0], ids=["hard", "easy"])
@pytest.mark.parametrize("stated", [1.0, 1.1, 1.5, 0.67], ids=["calibrated", "slightly over", "over", "under"])
def test_the_interval_covers_the_true_ece(stated: float, sharpness: float, n: int) -> None:
    rng, true = np.random.default_rng(7), truth(*population(sharpness, stated))
    assert true == 0 if stated == 1 else true > 0.01
    found = [ece.estimate(sample(rng, n, sharpness, stated)) for _ in range(DRAWS)]
    assert sum(one.low <= true <= one.high for one in found) >= 0.9 * DRAWS
    # Where the plain ECE is mostly noise, most of it goes; of many images the estimate is near the truth.
    plain, debiased = (np.mean([getattr(one, name) for one in found]) for name in ("plugin", "debiased"))
    if stated == 1:
        assert debiased < 0.45 * plain
    if n == 10_000:
        assert debiased == pytest.approx(true, abs=0.005)


@pytest.mark.parametrize("n", [360, 2_000, 10_000])
@pytest.mark.parametrize("gap", [0.1, 0.3])
def test_the_interval_covers_where_one_bin_alone_is_wrong(gap: float, n: int) -> None:
    """The worst case for a lower end: noise in all bins looks like the gap of one.

    The truth in closed form: that bin's share times the gap.
    """
    rng = np.random.default_rng(8)
    gaps = np.where(np.arange(15) == 12, gap, 0)
    true = gap * ((13 / 15) ** 3 - (12 / 15) ** 3)
    found = [ece.estimate(drawn(rng, n, gaps)) for _ in range(DRAWS)]
    assert sum(one.low <= true <= one.high for one in found) >= 0.9 * DRAWS


def test_calibrated_heads_on_few_images() -> None:
    """360 images of ten hard classes: the plain ECE shows 6 %, which is the floor.

    0 is within nearly all intervals and half of the estimates are near it.
    """
    rng = np.random.default_rng(9)
    bins = [sample(rng, 360, 1.5, 1.0) for _ in range(300)]
    found = [ece.estimate(one) for one in bins]
    assert np.mean([one.plugin for one in found]) == pytest.approx(0.062, abs=0.003)
    assert np.mean([ece.floor(one) for one in bins]) == pytest.approx(np.mean([one.plugin for one in found]), abs=0.002)
    assert np.median([one.debiased for one in found]) < 0.01
    assert np.mean([one.low == 0 for one in found]) > 0.93


def test_the_floor_is_the_plain_ece_of_labels_drawn_from_the_confidences() -> None:
    rng = np.random.default_rng(10)
    confidence = rng.beta(6, 1, 500)
    plain = [reliability(confidence, rng.random(500) < confidence, EDGES).ece() for _ in range(3000)]
    error = float(np.std(plain)) / math.sqrt(3000)
    assert ece.floor(reliability(confidence, np.zeros(500, dtype=bool), EDGES)) == pytest.approx(
        np.mean(plain), abs=4 * error + 1e-4
    )


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (3, 0.9), (7, 0.95), (10, 0.6), (200, 0.99), (5, 1.0)])
def test_the_floor_of_one_bin_is_a_mean_deviation_of_the_binomial(n: int, p: float) -> None:
    k = np.arange(n + 1)
    expected = float((np.abs(k - n * p) * stats.binom.pmf(k, n, p)).sum() / n)
    assert ece.floor(reliability(np.full(n, p), np.zeros(n, dtype=bool), EDGES)) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 400), power=st.floats(0.05, 5), bins=st.integers(1, 40))
def test_the_numbers_are_in_order_and_plain_is_plain(seed: int, n: int, power: float, bins: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.random(n) ** power
    sorted_in = reliability(confidence, rng.random(n) < rng.random(), np.linspace(0, 1, bins + 1))
    found = ece.estimate(sorted_in)
    assert 0 <= found.low <= found.debiased <= found.plugin <= found.high <= 1
    assert found.plugin == pytest.approx(sorted_in.ece(), abs=1e-15)
    assert found.low < found.high


def test_more_images_narrow_the_interval() -> None:
    """Sixteen times the images of the same bins, a quarter of the width."""
    few = Bins(EDGES, np.full(15, 100), (EDGES[:-1] + EDGES[1:]) / 2, np.clip((EDGES[:-1] + EDGES[1:]) / 2 - 0.2, 0, 1))
    many = Bins(EDGES, 16 * few.counts, few.confidence, few.accuracy)
    widths = [found.high - found.low for found in (ece.estimate(few), ece.estimate(many))]
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize("right", [True, False])
def test_certain_scores(right: bool) -> None:
    """360 images at confidence 1, all right: as good as calibrated, but some errors may be yet to come.

    All wrong: an ECE of 1.
    """
    found = ece.estimate(reliability(np.ones(360), np.full(360, right), EDGES))
    assert found.plugin == (0 if right else 1)
    assert found.low == pytest.approx(0 if right else 0.98, abs=0.02)
    assert found.high > found.low
    assert found.high == (pytest.approx(0.007, abs=0.005) if right else 1)


def test_nothing_is_known_of_no_images() -> None:
    empty = reliability(np.zeros(0), np.zeros(0, dtype=bool), EDGES)
    found = ece.estimate(empty)
    assert np.isnan([found.plugin, found.debiased, found.low, found.high, ece.floor(empty)]).all()
