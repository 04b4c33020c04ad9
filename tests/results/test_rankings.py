"""Ranks from rows made by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from results import rankings, statistics


def rows(scores: dict[str, dict[str, list[float]]], dims: list[int]) -> pd.DataFrame:
    base = {"backbone": "b", "recipe": "fast", "projection": "linear", "protocol": "p", "imbalance_factor": 1.0, "status": "done", "selection": "last"}
    return pd.DataFrame(
        [
            base | {"dataset": dataset, "head_label": head, "feature_dim": dim, "seed": seed, "top1": value + 0.001 * seed}
            for dataset, heads in scores.items()
            for head, values in heads.items()
            for dim, value in zip(dims, values, strict=True)
            for seed in (0, 1)
            if not math.isnan(value)
        ]
    )


def test_ranks_are_averaged_within_a_data_set_and_tested_over_data_sets() -> None:
    """In a: ranks (1, 2, 3) and (2, 1, 3); in b: (1, 2, 3) twice; in c the second dimension lacks a head and does not count."""
    found = rankings.rank(
        rows(
            {
                "a": {"x": [0.9, 0.8], "y": [0.8, 0.9], "z": [0.1, 0.1]},
                "b": {"x": [0.9, 0.9], "y": [0.8, 0.8], "z": [0.1, 0.1]},
                "c": {"x": [0.9, 0.1], "y": [0.8, 0.2], "z": [0.1, math.nan]},
            },
            [2, 5],
        ),
        "last",
    )
    assert found is not None
    heads, ranked, several = found
    assert heads == ["x", "y", "z"]
    assert several
    assert ranked.n == 3
    # In a the heads x and y share the rank 1.5.
    assert ranked.average == pytest.approx([(1.5 + 1 + 1) / 3, (1.5 + 2 + 2) / 3, 3])
    expected = statistics.ranks(-np.array([[1.5, 1.5, 3], [1, 2, 3], [1, 2, 3]]))
    assert (ranked.p, ranked.critical_difference) == (expected.p, expected.critical_difference)


def test_one_data_set_is_described_and_not_tested() -> None:
    found = rankings.rank(rows({"a": {"x": [0.9, 0.8], "y": [0.8, 0.9], "z": [0.1, 0.1]}}, [2, 5]), "last")
    assert found is not None
    table = rankings.table(*found, "last")
    assert table.cells["average rank"].to_dict() == {"x": "1.50", "y": "1.50", "z": "3.00"}
    assert "no test" in table.caption


def test_nothing_to_rank() -> None:
    alone = rows({"a": {"x": [0.9]}}, [2])
    assert rankings.rank(alone, "last") is None
    assert rankings.rank(alone.iloc[:0], "last") is None


def test_bars_join_what_does_not_differ() -> None:
    found = statistics.Ranks(np.array([1.0, 1.8, 4.0, 2.5]), 0.01, 1.0, 9)
    (axis,) = rankings.diagram(["a", "b", "c", "d"], found).axes
    bars = [sorted(np.asarray(line.get_xdata()).tolist()) for line in axis.lines if line.get_linewidth() == 3]
    assert bars == [[1.0, 1.8], [1.8, 2.5]]
