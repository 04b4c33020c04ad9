"""Calibration against torchmetrics, netcal, scipy and bins made by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from netcal.metrics import ACE, ECE, MCE
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax
from torchmetrics.functional.classification import multiclass_calibration_error

from headbench.results.numbers import calibration
from headbench.results.numbers.calibration import (
    adaptive_ece,
    brier,
    classwise_ece,
    fit_temperature,
    largest_probability,
    nll,
    probabilities,
    reliability,
    smooth_ece,
    top_label,
)

sizes = given(
    seed=st.integers(0, 10_000), samples=st.integers(1, 300), classes=st.integers(2, 12), sharpness=st.floats(0.1, 6)
)


def drawn(seed: int, samples: int, classes: int, sharpness: float) -> tuple[np.ndarray, np.ndarray]:
    """Random probabilities (N, C) below 1 and labels that agree with them now and then."""
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.standard_normal((samples, classes))
    labels = np.where(rng.random(samples) < 0.6, logits.argmax(axis=1), rng.integers(0, classes, samples))
    return np.minimum(softmax(logits, axis=1), 1 - 1e-9), labels


@settings(max_examples=40, deadline=None)
@sizes
@pytest.mark.parametrize(("norm", "method"), [("l1", "ece"), ("max", "mce")])
def test_ece_and_mce_equal_torchmetrics(
    norm: str, method: str, seed: int, samples: int, classes: int, sharpness: float
) -> None:
    p, labels = drawn(seed, samples, classes, sharpness)
    sample = torch.from_numpy(p), torch.from_numpy(labels)
    theirs = multiclass_calibration_error(*sample, classes, n_bins=15, norm=norm)  # type: ignore[arg-type]
    assert getattr(top_label(p, labels), method)() == pytest.approx(theirs.item(), abs=1e-6)


@settings(max_examples=40, deadline=None)
@sizes
@pytest.mark.parametrize(("oracle", "method"), [(ECE, "ece"), (MCE, "mce")])
def test_ece_and_mce_equal_netcal(
    oracle: type, method: str, seed: int, samples: int, classes: int, sharpness: float
) -> None:
    """As confidence against right or wrong, since netcal takes two classes for a binary problem."""
    p, labels = drawn(seed, samples, classes, sharpness)
    confidence, right = p.max(axis=1), (p.argmax(axis=1) == labels).astype(int)
    assert getattr(top_label(p, labels), method)() == pytest.approx(oracle(15).measure(confidence, right), abs=1e-12)


def test_bins_made_by_hand() -> None:
    """Two bins: (0, 0.5] holds 0.5 (right) and 0.3 (wrong); (0.5, 1] holds 0.9 (right), 1.0 (wrong)."""
    bins = reliability(np.array([0.5, 0.3, 0.9, 1.0]), np.array([True, False, True, False]), np.array([0, 0.5, 1]))
    assert bins.counts.tolist() == [2, 2]
    assert bins.confidence == pytest.approx([0.4, 0.95])
    assert bins.accuracy == pytest.approx([0.5, 0.5])
    assert bins.ece() == pytest.approx((2 * 0.1 + 2 * 0.45) / 4)
    assert bins.mce() == pytest.approx(0.45)


def test_every_edge_belongs_to_the_bin_below_it() -> None:
    edges = np.linspace(0, 1, 16)
    bins = reliability(edges, np.ones(16, dtype=bool), edges)
    assert bins.counts.tolist() == [2] + [1] * 14


def test_empty_bins_and_no_samples_are_nan() -> None:
    bins = reliability(np.array([0.99]), np.array([True]), np.linspace(0, 1, 16))
    assert np.isnan(bins.accuracy[:-1]).all()
    assert np.isnan(bins.confidence[:-1]).all()
    nothing = np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    assert np.isnan(
        [top_label(*nothing).ece(), top_label(*nothing).mce(), adaptive_ece(*nothing), fit_temperature(*nothing)]
    ).all()


@pytest.mark.parametrize(("right", "expected"), [(True, 0.0), (False, 1.0)])
def test_certain_predictions(right: bool, expected: float) -> None:
    p, labels = np.eye(4)[[0, 1, 2]], np.array([0, 1, 2]) if right else np.array([1, 2, 3])
    assert top_label(p, labels).ece() == expected
    assert top_label(p, labels).mce() == expected
    assert adaptive_ece(p, labels) == expected
    assert brier(p, labels).mean() == 2 * expected


def test_one_class_only() -> None:
    assert top_label(np.ones((5, 1)), np.zeros(5, dtype=np.int64)).ece() == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), groups=st.integers(2, 12), classes=st.integers(2, 8))
def test_adaptive_ece_by_hand(seed: int, groups: int, classes: int) -> None:
    """Fifteen groups of equal size, sorted by confidence."""
    p, labels = drawn(seed, 15 * groups, classes, 2.0)
    rows = sorted(zip(p.max(axis=1), p.argmax(axis=1) == labels, strict=True), key=lambda row: row[0])
    gaps = []
    for start in range(0, len(rows), groups):
        group = rows[start : start + groups]
        gaps.append(abs(sum(float(right) for _, right in group) - sum(confidence for confidence, _ in group)) / groups)
    assert adaptive_ece(p, labels) == pytest.approx(sum(gaps) / 15)


def test_adaptive_ece_is_near_netcals_on_many_samples() -> None:
    """netcal averages its bins without weights and cuts them by quantile, so that the two agree only where bins are
    full.
    """
    p, labels = drawn(0, 15_000, 6, 1.5)
    assert adaptive_ece(p, labels) == pytest.approx(
        ACE(15).measure(p.max(axis=1), (p.argmax(axis=1) == labels).astype(int)), abs=0.05
    )


@settings(max_examples=20, deadline=None)
@sizes
def test_classwise_ece_is_the_mean_of_binary_ones(seed: int, samples: int, classes: int, sharpness: float) -> None:
    p, labels = drawn(seed, samples, classes, sharpness)
    total = 0.0
    for c in range(classes):
        for low in range(15):
            inside = (p[:, c] > low / 15) & (p[:, c] <= (low + 1) / 15)
            if inside.any():
                total += abs(p[inside, c].mean() - (labels[inside] == c).mean()) * inside.sum() / samples / classes
    assert classwise_ece(p, labels) == pytest.approx(total, abs=1e-6)


@settings(max_examples=20, deadline=None)
@sizes
def test_nll_and_brier_by_hand(seed: int, samples: int, classes: int, sharpness: float) -> None:
    p, labels = drawn(seed, samples, classes, sharpness)
    assert nll(np.log(p), labels) == pytest.approx(
        [-np.log(row[y] / row.sum()) for row, y in zip(p, labels, strict=True)]
    )
    slow = [sum((row[c] - (c == y)) ** 2 for c in range(classes)) for row, y in zip(p, labels, strict=True)]
    assert brier(p, labels) == pytest.approx(slow)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.2, 5))
def test_temperature_is_the_root_of_the_gradient(seed: int, scale: float) -> None:
    """d NLL / d(1/T) = mean(sum_c p_c l_c - l_y), found by another method."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((400, 5)) * 2
    labels = np.array([rng.choice(5, p=row) for row in softmax(truth, axis=1)])
    logits = scale * truth

    def gradient(inverse: float) -> float:
        shares = softmax(inverse * logits, axis=1)
        return float(((shares * logits).sum(axis=1) - logits[np.arange(400), labels]).mean())

    assert fit_temperature(logits, labels) == pytest.approx(1 / brentq(gradient, 1e-3, 90), rel=1e-4)


def test_temperature_does_not_change_predictions_and_undoes_a_scale() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((3000, 4)) * 2
    labels = np.array([rng.choice(4, p=row) for row in softmax(truth, axis=1)])
    one, seven = fit_temperature(truth, labels), fit_temperature(7 * truth, labels)
    assert seven == pytest.approx(7 * one, rel=1e-5)
    assert one == pytest.approx(1, abs=0.1)
    assert np.array_equal(probabilities(truth, seven).argmax(axis=1), truth.argmax(axis=1))
    assert np.array_equal(probabilities(truth, seven).max(axis=1), largest_probability(truth, seven))


@pytest.mark.parametrize(("samples", "classes", "margin"), [(4, 4, 5.0), (144, 10, 6.1), (5000, 100, 0.3)])
def test_where_every_sample_is_right_the_targets_are_smoothed(samples: int, classes: int, margin: float) -> None:
    """With one margin for all, the best confidence is the smoothed target itself, which gives the temperature in closed
    form.
    """
    labels = np.arange(samples) % classes
    target = 1 - (1 - 1 / classes) / (samples + 2)
    expected = margin / np.log((classes - 1) * target / (1 - target))
    assert fit_temperature(margin * np.eye(classes)[labels], labels) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_largest_probability_of_stored_halves_is_as_exact_as_of_others(kind: type[np.floating]) -> None:
    stored = (4 * np.random.default_rng(0).standard_normal((50, 1000))).astype(kind)
    exact = softmax(stored.astype(np.float64) / 1.7, axis=1).max(axis=1)
    np.testing.assert_allclose(largest_probability(stored, 1.7), exact, rtol=1e-12)


def test_log_softmax_is_stable() -> None:
    logits = np.array([[1e4, 0.0]])
    assert nll(logits, np.array([1])) == pytest.approx(1e4)
    assert np.isfinite(log_softmax(logits, axis=1)).all()
    assert calibration.BINS == 15


def test_smooth_ece_of_known_cases() -> None:
    """One confidence throughout: the smooth ECE is the gap; calibrated scores: it vanishes as samples grow.

    The same bits twice.
    """
    right = np.arange(2000) % 10 < 7
    p, labels = np.tile([0.9, 0.1], (2000, 1)), np.where(right, 0, 1)
    assert smooth_ece(p, labels) == pytest.approx(0.2, abs=1e-6)
    assert smooth_ece(p, np.where(np.arange(2000) % 10 < 9, 0, 1)) == pytest.approx(0, abs=1e-6)
    rng = np.random.default_rng(0)
    found = []
    for n in (360, 100_000):
        first = rng.uniform(0.5, 1, n)
        p = np.stack([first, 1 - first], axis=1)
        labels = (rng.random(n) > first).astype(np.int64)
        found.append(smooth_ece(p, labels))
        assert smooth_ece(p, labels) == found[-1]
    assert found[1] < 0.006 < found[0]
    assert np.isnan(smooth_ece(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)))
