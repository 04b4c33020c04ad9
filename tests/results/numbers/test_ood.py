"""AUROC and FPR at 95 % TPR against counts by hand, with ties, and the scores that they are computed from."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headbench.results.numbers import ood

# Few values, so that ties are frequent.
VALUES = st.lists(st.integers(0, 6), min_size=1, max_size=45).map(lambda found: np.array(found, dtype=np.float64))


@settings(max_examples=50)
@given(inside=VALUES, outside=VALUES)
def test_auroc_is_the_part_of_the_pairs_that_are_in_order(inside: np.ndarray, outside: np.ndarray) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in inside for b in outside]
    assert ood.auroc(inside, outside) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@given(inside=VALUES, outside=VALUES)
def test_fpr95_is_the_least_of_all_thresholds_that_95_percent_reach(inside: np.ndarray, outside: np.ndarray) -> None:
    least = 1.0
    for threshold in inside:
        reached = sum(1 for value in inside if value >= threshold)
        if 100 * reached >= 95 * len(inside):
            least = min(least, sum(1 for value in outside if value >= threshold) / len(outside))
    assert ood.fpr95(inside, outside) == least


def test_the_scores_against_their_formulas() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (50, 7))
    found = ood.confidences(logits.astype(np.float32))
    for row, probability, energy, score in zip(logits.astype(np.float32).tolist(), *found.values(), strict=True):
        total = math.fsum(math.exp(value) for value in row)
        assert probability == pytest.approx(max(math.exp(value) for value in row) / total, rel=1e-12)
        assert energy == pytest.approx(math.log(total), rel=1e-12)
        assert score == max(row)
    assert list(found) == list(ood.SCORES)


def test_each_metric_is_of_its_own_score() -> None:
    """One image of each kind: more certain but of less energy, so that the scores disagree."""
    inside, outside = np.array([[0.0, -9.0, -9.0]]), np.array([[5.0, 5.0, 5.0]])
    found = ood.evaluate(inside, outside)
    assert found == {
        **{"ood_auroc_probability": 1, "ood_auroc_energy": 0, "ood_auroc_score": 0},
        **{"ood_fpr95_probability": 0, "ood_fpr95_energy": 1, "ood_fpr95_score": 1},
    }
    same = ood.evaluate(inside, inside)
    assert {same[name] for name in ood.METRICS[:3]} == {0.5}
    assert all(math.isnan(value) for value in ood.evaluate(inside, np.array([[np.inf, 0, 0]])).values())
