"""Metrics of one selection, against slow versions and torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from headbench.results.numbers import calibration, ece, metrics

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((200, 6)).astype(np.float32)
LABELS = RNG.integers(0, 6, 200)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_equals_torchmetrics(k: int) -> None:
    theirs = multiclass_accuracy(
        torch.from_numpy(LOGITS), torch.from_numpy(LABELS), num_classes=6, top_k=k, average="micro"
    )
    assert metrics.top_k(LOGITS, LABELS, k) == pytest.approx(theirs.item())


def test_macro_accuracy_equals_torchmetrics() -> None:
    theirs = multiclass_accuracy(torch.from_numpy(LOGITS), torch.from_numpy(LABELS), num_classes=6, average="macro")
    assert np.mean(metrics.per_class_accuracy(LOGITS, LABELS)) == pytest.approx(theirs.item())


def test_groups_by_count_and_empty_groups_are_nan() -> None:
    accuracy = np.array([0.9, 0.8, 0.6, 0.4, np.nan])
    found = metrics.groups(accuracy, np.array([101, 100, 20, 19, 5]), None)
    assert [found[f"{name}_accuracy"] for name in ("many", "medium", "few")] == pytest.approx([0.9, 0.7, 0.4])
    assert np.isnan([found[f"{name}_range_accuracy"] for name in ("many", "medium", "few")]).all()
    empty = metrics.groups(accuracy, np.array([500] * 5), None)
    assert np.isnan([empty["medium_accuracy"], empty["few_accuracy"]]).all()


def test_groups_by_range_follow_the_classes_by_size() -> None:
    accuracy, nominal = np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([7, 900, 50, 60, 5])
    found = metrics.groups(accuracy, nominal, (1, 3))
    assert found["many_range_accuracy"] == pytest.approx(0.2)
    assert found["medium_range_accuracy"] == pytest.approx((0.4 + 0.3) / 2)
    assert found["few_range_accuracy"] == pytest.approx((0.1 + 0.5) / 2)


@pytest.mark.parametrize(
    ("imbalance", "sizes"), [(10, (69, 31, 0)), (50, (41, 41, 18)), (100, (35, 35, 30)), (200, (30, 31, 39))]
)
def test_the_two_conventions_disagree_on_cifar100_as_published(imbalance: int, sizes: tuple[int, int, int]) -> None:
    nominal = np.array([int(500 * (1 / imbalance) ** (c / 99)) for c in range(100)])
    for c in range(100):
        found = metrics.groups(np.eye(100)[c], nominal, (36, 71))
        group = ("many", "medium", "few")[int(c >= sizes[0]) + int(c >= sizes[0] + sizes[1])]
        fixed = ("many", "medium", "few")[int(c >= 36) + int(c >= 71)]
        assert found[f"{group}_accuracy"] == pytest.approx(1 / sizes[("many", "medium", "few").index(group)])
        assert found[f"{fixed}_range_accuracy"] == pytest.approx(1 / {"many": 36, "medium": 35, "few": 29}[fixed])


def test_a_class_without_test_samples_is_nan_and_left_out_of_the_mean() -> None:
    logits, labels = np.eye(3)[[0, 1]].astype(np.float32), np.array([0, 0])
    assert metrics.per_class_accuracy(logits, labels)[0] == 0.5
    assert np.isnan(metrics.per_class_accuracy(logits, labels)[1:]).all()
    assert metrics.evaluate((logits, labels), None, 1.0, np.array([9, 9, 9]), None)["macro_accuracy"] == 0.5


def test_the_three_views_are_three_scales() -> None:
    """raw = logits / native_scale, native = logits, temperature = logits / T of the validation part."""
    scale = 6.1
    test, val = (scale * LOGITS, LABELS), (scale * LOGITS[::-1].copy(), LABELS)
    found = metrics.evaluate(test, val, scale, np.full(6, 50), None)
    temperature = calibration.fit_temperature(val[0].astype(float), val[1])
    assert found["temperature"] == pytest.approx(temperature)
    for view, divisor in (("raw", scale), ("native", 1.0), ("temperature", temperature)):
        p = calibration.probabilities(test[0].astype(float) / divisor)
        bins = calibration.top_label(p, LABELS)
        assert found[f"ece_{view}_plugin"] == pytest.approx(bins.ece(), abs=1e-15)
        assert found[f"ece_{view}"] == ece.estimate(bins).debiased
    p = calibration.probabilities(test[0].astype(float) / temperature)
    assert found["calibration_view"] == "temperature"
    assert found["ece_floor"] == ece.floor(calibration.top_label(p, LABELS))
    assert found["native_scale"] == scale
    assert found["brier"] == pytest.approx(calibration.brier(p, LABELS).mean())
    assert found["nll"] == pytest.approx(-np.log(p[np.arange(200), LABELS]).mean())
    assert found["smooth_ece"] == pytest.approx(calibration.smooth_ece(p, LABELS))
    assert found["adaptive_ece"] == pytest.approx(calibration.adaptive_ece(p, LABELS))
    assert found["classwise_ece"] == pytest.approx(calibration.classwise_ece(p, LABELS))
    assert found["mce"] == pytest.approx(calibration.top_label(p, LABELS).mce())


def test_calibration_errors_are_of_as_many_bins_as_asked_for_and_of_the_native_view_without_a_temperature() -> None:
    found = metrics.calibrated(LOGITS, LABELS, 6.1, float("nan"), bins=7)
    p = calibration.probabilities(LOGITS.astype(float))
    bins = calibration.top_label(p, LABELS, 7)
    assert found["calibration_bins"] == 7
    assert found["ece_native_plugin"] == pytest.approx(bins.ece())
    assert found["mce"] == pytest.approx(bins.mce())
    assert found["ece_floor"] == ece.floor(bins)
    assert found["smooth_ece"] == pytest.approx(calibration.smooth_ece(p, LABELS))
    assert found["adaptive_ece"] == pytest.approx(calibration.adaptive_ece(p, LABELS, 7))
    assert found["classwise_ece"] == pytest.approx(calibration.classwise_ece(p, LABELS, 7))


def test_without_validation_there_is_no_temperature() -> None:
    found = metrics.evaluate((LOGITS, LABELS), None, 1.0, np.full(6, 50), None)
    assert np.isnan([found["temperature"], found["ece_temperature"]]).all()
    assert found["calibration_view"] == "native"
    assert found["ece_raw"] == found["ece_native"]


def test_intervals_hold_the_metric_and_narrow_with_samples() -> None:
    """Four times the images, half the width; without images nothing."""
    rng = np.random.default_rng(3)
    widths = []
    for n in (500, 2000):
        logits, labels = 2 * rng.standard_normal((n, 5)), rng.integers(0, 5, n)
        found = metrics.calibrated(logits, labels, 2.0, 1.5)
        for metric in metrics.INTERVALS:
            assert found[f"{metric}_low"] < found[metric] < found[f"{metric}_high"]
        widths.append([found[f"{metric}_high"] - found[f"{metric}_low"] for metric in metrics.INTERVALS])
    assert np.array(widths[0]) / widths[1] == pytest.approx(2, rel=0.25)
    empty = metrics.calibrated(np.zeros((0, 5)), np.zeros(0, dtype=np.int64), 1.0, 1.5)
    assert np.isnan([value for name, value in empty.items() if name != "calibration_bins"]).all()


def test_the_columns_of_accuracy_are_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((300, 12)), rng.integers(0, 12, 300)
    found = metrics.evaluate((logits, labels), None, 1.0, np.full(12, 50), None)
    for name, k in (("top1", 1), ("top5", 5)):
        theirs = multiclass_accuracy(torch.from_numpy(logits), torch.from_numpy(labels), 12, top_k=k, average="micro")
        assert found[name] == pytest.approx(theirs.item())


def test_of_equal_scores_the_lower_class_is_first() -> None:
    assert metrics.top_k(np.zeros((3, 4)), np.array([0, 1, 2]), 2) == pytest.approx(2 / 3)
