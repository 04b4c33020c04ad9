"""Accuracy against compute as a table: every row is a training, and bold is what nothing as cheap reaches."""

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headbench.results.figures import compute
from headbench.results.tables import by_compute
from tests.results import known

SHORT, LONG = "fast(epochs=5)", "fast"


def rows(heads: dict[tuple[str, str], tuple[float, float]], dim: int = 50) -> pd.DataFrame:
    """Three seeds of each head and recipe, of about this accuracy and of this many PFLOP."""
    made = []
    for number, ((head, recipe), (accuracy, cost)) in enumerate(heads.items()):
        part, _ = known.answered({(head, dim): known.random(accuracy, number)}, recipe=recipe)
        made.append(
            part.assign(
                cell_id=part["cell_id"] + recipe, train_flops=1e15 * cost, image_views=2e6, train_seconds=math.nan
            )
        )
    return pd.concat(made, ignore_index=True)


HEADS = {
    ("psc", LONG): (0.6, 0.41),
    ("hpn", LONG): (0.5, 0.41),
    ("psc", SHORT): (0.3, 0.2),
    ("hpn", SHORT): (0.4, 0.21),
}


def test_the_cheapest_training_comes_first_and_the_front_is_bold() -> None:
    frame = rows(HEADS)
    (table,) = by_compute.tables(frame, "last")
    assert table.name == "cifar100-compute-last"
    psc, hpn = ((50, head, SHORT) for head in ("psc", "hpn"))
    assert table.cells.index.tolist() == [psc, hpn, (50, "psc", LONG), (50, "hpn", LONG)]
    own = 100 * frame[(frame["head_label"] == "hpn") & (frame["recipe"] == SHORT)]["top1"]
    assert table.cells.loc[hpn, "top-1 %"] == f"{own.mean():.2f} ± {own.std():.2f}"
    assert (table.cells.loc[hpn, "PFLOP"], table.cells.loc[hpn, "views in millions"]) == ("0.21", "2")
    assert table.bold["top-1 %"].tolist() == [True, True, True, False]
    assert not table.bold.drop(columns="top-1 %").any(axis=None)
    assert "recipe fast" not in table.caption


def test_an_unsound_training_is_on_no_front() -> None:
    frame = rows(HEADS)
    frame.loc[(frame["head_label"] == "psc") & (frame["recipe"] == LONG), "health"] = "diverged"
    (table,) = by_compute.tables(frame, "last")
    assert table.bold["top-1 %"].tolist() == [True, True, False, True]
    assert str(table.cells.loc[(50, "psc", LONG), "top-1 %"]).endswith(" †")
    assert table.cells.loc[(50, "psc", LONG), "PFLOP"] == "0.41"


def test_each_dimension_has_a_front_of_its_own() -> None:
    frame = pd.concat([rows(HEADS), rows({key: (0.5 * top1, cost) for key, (top1, cost) in HEADS.items()}, dim=10)])
    (table,) = by_compute.tables(frame, "last")
    assert table.bold["top-1 %"].tolist() == [True, True, True, False] * 2
    assert [key[0] for key in table.cells.index] == [10] * 4 + [50] * 4


@pytest.mark.parametrize(
    "heads",
    [
        {("psc", LONG): (0.6, 0.41), ("hpn", LONG): (0.5, 0.42)},
        {("psc", LONG): (0.6, 0.41), ("psc", SHORT): (0.5, 0.41)},
        {("psc", LONG): (0.6, 0.41), ("psc", SHORT): (0.5, math.nan)},
    ],
    ids=["one recipe", "one cost", "unknown"],
)
def test_trainings_of_one_cost_have_no_such_table(heads: dict[tuple[str, str], tuple[float, float]]) -> None:
    assert by_compute.tables(rows(heads), "last") == []


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_as_cheap_reaches(pairs: list[tuple[int, int]]) -> None:
    found = by_compute.front(pd.DataFrame(pairs, columns=["cost", "mean"]))
    kept = set(found[["cost", "mean"]].itertuples(index=False, name=None))
    for cost, mean in set(pairs):
        beaten = any(c <= cost and m >= mean and (c, m) != (cost, mean) for c, m in pairs)
        assert ((cost, mean) in kept) == (not beaten)
    assert found["cost"].is_monotonic_increasing
    assert len(found) == sum(pair in kept for pair in pairs), "equals are on it together"


def test_heads_of_unknown_cost_are_named() -> None:
    frame = rows(HEADS | {("etf", LONG): (0.7, math.nan)})
    (table,) = by_compute.tables(frame, "last")
    assert "Not shown where the cost is not known: etf." in table.caption
    assert "not known" not in by_compute.tables(rows(HEADS), "last")[0].caption
    machine: dict[str, Any] = {"device": "cpu", "processor": "x", "threads": 1, "cells_per_device": 1}
    assert "Not shown where the cost is not known: etf." in compute.compute(frame.assign(**machine), "by hand").caption


@settings(max_examples=20, deadline=None)
@given(st.floats(1e12, 1e16))
def test_the_mean_of_equal_costs_is_their_cost(cost: float) -> None:
    frame = rows({("psc", LONG): (0.6, 1), ("psc", SHORT): (0.5, 1)}).assign(train_flops=cost)
    last = frame["seed"] != frame["seed"].max()
    fewer = frame[(frame["recipe"] == LONG) | last]
    assert by_compute.tables(fewer, "last") == []


def test_a_table_of_a_selection_has_its_numbers_and_its_front() -> None:
    """With the best epochs the heads stand the other way round."""
    turned = rows(
        {
            ("psc", LONG): (0.5, 0.41),
            ("hpn", LONG): (0.6, 0.41),
            ("psc", SHORT): (0.4, 0.2),
            ("hpn", SHORT): (0.3, 0.21),
        }
    )
    both = pd.concat([rows(HEADS), turned.assign(selection="best_val")], ignore_index=True)
    (own,), (wanted,) = by_compute.tables(both, "best_val"), by_compute.tables(turned, "last")
    pd.testing.assert_frame_equal(own.cells, wanted.cells)
    pd.testing.assert_frame_equal(own.bold, wanted.bold)
