"""The best of k trials against the enumeration of all choices, and against draws from a known distribution."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headbench.results.numbers import best_of

VALUES = st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.8]), min_size=1, max_size=7).map(np.array)


def bests(values: np.ndarray, k: int) -> np.ndarray:
    return np.array([max(chosen) for chosen in itertools.combinations(values, k)])


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_mean_and_interval_are_those_of_all_choices(values: np.ndarray) -> None:
    for k in range(1, len(values) + 1):
        found, every = best_of.best_of(values, k), bests(values, k)
        assert found.mean == pytest.approx(every.mean())
        ends = np.quantile(every, [0.025, 0.975], method="inverted_cdf")
        assert (found.low, found.high) == pytest.approx(tuple(ends))


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_who_is_ahead_is_counted(first: np.ndarray, second: np.ndarray) -> None:
    for k in range(1, min(len(first), len(second)) + 1):
        one, other = bests(first, k)[:, None], bests(second, k)
        assert best_of.ahead(first, second, k) == pytest.approx(((one > other) + 0.5 * (one == other)).mean())


def test_it_is_unbiased_for_independent_trials() -> None:
    """The best of k uniform numbers is k / (k + 1) on average; the form with replacement has 0.06 less at k = N = 8."""
    draws = np.random.default_rng(0).random((4000, 8))
    for k in (1, 3, 8):
        means = np.array([best_of.best_of(values, k).mean for values in draws])
        assert abs(means.mean() - k / (k + 1)) < 4 * means.std() / math.sqrt(len(means))


def test_a_thousand_trials_are_no_trouble() -> None:
    weights = best_of.chances(3000, 1500)
    assert weights.sum() == pytest.approx(1)
    assert best_of.chances(3000, 3000).tolist() == [0.0] * 2999 + [1.0]
    assert best_of.best_of(np.arange(3000.0), 1).mean == pytest.approx(1499.5)


@pytest.mark.parametrize("k", [0, 4])
def test_no_budget_beyond_the_trials(k: int) -> None:
    with pytest.raises(ValueError, match="3 trials"):
        best_of.best_of(np.zeros(3), k)


def test_where_the_order_turns() -> None:
    """Steady trials lead a small budget, a rare good one a large budget: 0.5 against k/8 of 0.9 and else 0.2.

    The second is ahead where 0.2 + 0.7 k/8 > 0.5, from k = 4 on.
    """
    steady, rare = np.full(8, 0.5), np.array([0.2] * 7 + [0.9])
    assert best_of.leads(steady, rare) == [(1, 1), (4, -1)]
    assert best_of.leads(steady, steady) == []
    # One choice of k in 8 / k finds it: no budget up to 4 makes it sure.
    assert not best_of.turned(steady, rare)


def test_an_order_that_turns_whichever_trials_are_chosen() -> None:
    """Of 400 trials 8 are good: one trial is one of them in 2 % of the cases, 200 miss all of them in 1 of 250."""
    rare, steady = np.array([0.2] * 392 + [0.9] * 8), np.full(400, 0.5)
    assert best_of.ahead(rare, steady, 1) == pytest.approx(0.02)
    assert best_of.turned(rare, steady)
    assert best_of.turned(steady, rare)
    assert not best_of.turned(np.array([0.2] * 200 + [0.9] * 200), steady)
