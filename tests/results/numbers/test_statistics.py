"""Statistics against scipy, against hand-made cases, and as properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headbench.results.numbers import statistics


def test_holm_by_hand() -> None:
    """Sorted .01 .03 .04 of three: .03, max(.03, .06), max(.06, .04)."""
    assert statistics.holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    adjusted = statistics.holm(np.array([0.5, math.nan, 0.9]))
    assert adjusted[0] == 1
    assert math.isnan(adjusted[1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_a_binomial_test_of_the_discordant(b: int, c: int) -> None:
    first = np.array([True] * b + [False] * c + [True] * 5 + [False] * 3)
    second = np.array([False] * b + [True] * c + [True] * 5 + [False] * 3)
    total = sum(math.comb(b + c, k) for k in range(b + c + 1) if math.comb(b + c, k) <= math.comb(b + c, b)) / 2 ** (
        b + c
    )
    assert statistics.mcnemar(first, second) == pytest.approx(min(total, 1))


def test_ranks_by_hand_and_friedman_by_scipy() -> None:
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.9, 0.1], [0.5, 0.6, 0.4], [0.8, 0.7, 0.6]])
    found = statistics.ranks(scores)
    assert found.average == pytest.approx([(1 + 1.5 + 2 + 1) / 4, (2 + 1.5 + 1 + 2) / 4, 3])
    assert found.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    # Demsar's table 5: q = 2.343 for three classifiers.
    assert found.critical_difference == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 4)), abs=1e-3)
    assert math.isnan(statistics.ranks(scores[:1]).p)
    assert math.isnan(statistics.ranks(scores[:, :2]).critical_difference)


def test_the_basic_interval_is_scipys() -> None:
    values = np.random.default_rng(1).exponential(size=400)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="basic", rng=np.random.default_rng(2)
    ).confidence_interval
    assert statistics.basic_interval(
        values.mean(), statistics.resampled_means(values[:, None], 20_000)[:, 0]
    ) == pytest.approx(theirs, rel=5e-3)


def test_an_interval_never_goes_below_zero() -> None:
    assert statistics.basic_interval(1.0, np.array([2.5, 2.5])) == (0, 0)
