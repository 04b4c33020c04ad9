"""Ranks from rows made by hand."""

import numpy as np
import pandas as pd
import pytest

from headbench.results.figures.ranks import diagram
from headbench.results.numbers import statistics
from headbench.results.numbers.statistics import Bools
from headbench.results.tables import ranks
from headbench.results.tables.ranks import Ranking
from tests.results import known
from tests.results.known import Given

# Answers of 400 images: the first so many are right.
IMAGES = 400


def first(right: int, n: int = 3) -> Bools:
    answers = np.zeros((n, IMAGES), dtype=bool)
    answers[:, :right] = True
    return answers


def grid(scores: dict[str, dict[str, list[int | None]]], dims: list[int], n: int = 3) -> tuple[pd.DataFrame, Given]:
    """Rows and answers of heads by data set and dimension, from how many images each gets right."""
    rows, cells = [], dict[str, Bools]()
    for dataset, heads in scores.items():
        known_heads = {
            (head, dim): first(right, n)
            for head, rights in heads.items()
            for dim, right in zip(dims, rights, strict=True)
            if right is not None
        }
        made, answers = known.answered(known_heads, dataset=dataset)
        rows.append(made)
        cells |= {cell_id: own["last"].right for cell_id, own in answers._cells.items()}
    return pd.concat(rows, ignore_index=True), Given(cells)


def ranked(rows: pd.DataFrame, answers: Given) -> Ranking:
    found, _ = ranks.rank(rows, answers, "last")
    assert found is not None
    return found


def test_what_is_left_out_is_told_apart() -> None:
    """Two comparisons of one data set differ in their backbone alone."""
    rows, answers = grid({"a": {"x": [360, 320], "y": [320, None]}}, [2, 5])
    wide = rows.assign(backbone="wide")
    _, left_out = ranks.rank(pd.concat([rows, wide], ignore_index=True), answers, "last")
    assert left_out == [f"a, backbone {name} d = 5 (y not trained)" for name in (rows["backbone"].iloc[0], "wide")]


def test_heads_with_as_many_right_images_are_tied() -> None:
    """At sixty dimensions, of which the sums of the accuracies differ in the last bit at every sixth or so."""
    rng = np.random.default_rng(0)
    one = rng.integers(200, 300, (60, 3))
    moved = rng.integers(1, 50, (60, 3))
    right = {"x": one, "y": one + moved - np.roll(moved, 1, axis=1)}
    dims = range(2, 62)
    rows, _ = known.answered({(head, dim): first(0) for head in right for dim in dims})
    rows["top1"] = np.concatenate([counts.ravel() for counts in right.values()]) / 360
    assert (
        np.ptp([rows[rows["head_label"] == head].groupby("feature_dim")["top1"].mean() for head in right], 0) > 0
    ).any()
    counted, _ = ranks.conditions(rows, "last")
    assert ranks.averages(ranks.accuracies(counted)).to_dict() == {"x": 1.5, "y": 1.5}


def test_other_labels_of_a_data_set_are_no_other_data_set() -> None:
    """Its images are the same; another folder or file has other ones."""
    scores: dict[str, list[int | None]] = {"x": [360], "y": [320], "z": [40]}
    same = dict.fromkeys(("cifar100", "cifar100(labels=coarse)"), scores)
    assert not ranked(*grid(same, [5])).several
    others = dict.fromkeys(("folder(path=cats)", "folder(path=dogs)"), scores)
    assert ranked(*grid(others, [5])).several


def test_ranks_are_averaged_within_a_data_set_and_tested_over_data_sets() -> None:
    """In a: ranks (1, 2, 3) and (2, 1, 3); in b: (1, 2, 3) twice.

    In c the second dimension lacks a head and does not count.
    """
    scores: dict[str, dict[str, list[int | None]]] = {
        "a": {"x": [360, 320], "y": [320, 360], "z": [40, 40]},
        "b": {"x": [360, 360], "y": [320, 320], "z": [40, 40]},
        "c": {"x": [360, 40], "y": [320, 80], "z": [40, None]},
    }
    found = ranked(*grid(scores, [2, 5]))
    assert found.heads == ["x", "y", "z"]
    assert found.several
    # In a the heads x and y share the rank 1.5.
    assert found.found.average == pytest.approx([(1.5 + 1 + 1) / 3, (1.5 + 2 + 2) / 3, 3])
    expected = statistics.ranks(-np.array([[1.5, 1.5, 3], [1, 2, 3], [1, 2, 3]]))
    assert (found.found.p, found.found.critical_difference) == (expected.p, expected.critical_difference)
    assert found.left_out == ["c d = 5 (z not trained)"]
    assert "Left out: c d = 5 (z not trained)." in ranks.table(found, "last").caption


def test_verdicts_are_counted_over_conditions() -> None:
    """x is far above y and z in both conditions; y and z predict the same."""
    found = ranked(*grid({"a": {"x": [360, 380], "y": [200, 200], "z": [200, 200]}}, [2, 5]))
    assert found.outcomes.to_dict("index") == {
        "x": {"better": 4, "tied": 0, "worse": 0, "unresolved": 0},
        "y": {"better": 0, "tied": 2, "worse": 2, "unresolved": 0},
        "z": {"better": 0, "tied": 2, "worse": 2, "unresolved": 0},
    }
    assert ranks.table(found, "last").cells.loc[["x"]].to_numpy()[0].tolist() == ["1.00", "4", "0", "0", "0"]
    two = ranked(*grid({"a": {"x": [360], "y": [200]}}, [2], n=2))
    assert two.outcomes.empty
    assert ranks.table(two, "last").cells.columns.tolist() == ["average rank"]


def test_one_data_set_is_described_and_not_tested() -> None:
    found = ranked(*grid({"a": {"x": [360, 320], "y": [320, 360], "z": [40, 40]}}, [2, 5]))
    table = ranks.table(found, "last")
    assert table.cells["average rank"].to_dict() == {"x": "1.50", "y": "1.50", "z": "3.00"}
    assert "no test" in table.caption


def test_only_common_seeds_count_and_unhealthy_cells_do_not() -> None:
    rows, answers = grid({"a": {"x": [360, 320], "y": [320, 330]}}, [2, 5])
    rows = rows[~((rows["head_label"] == "x") & (rows["seed"] == 0) & (rows["feature_dim"] == 2))]
    rows.loc[(rows["head_label"] == "y") & (rows["feature_dim"] == 5), "health"] = ["ok", "diverged", "ok"]
    found = ranked(rows, answers)
    assert found.left_out == ["a d = 5 (y, seed 1: diverged)"]
    assert found.found.n == 1
    assert found.outcomes.empty


def test_why_there_is_no_friedman_test_and_how_small_p_is() -> None:
    for heads, why in (("xy", "two heads have"), ("xyz", "heads that are tied on each of them have")):
        tied = ranked(*grid({data: {head: [360] for head in heads} for data in "ab"}, [2]))
        assert f"Over 2 data sets; {why} no Friedman test." in ranks.table(tied, "last").caption
    clear = ranked(*grid({data: {"x": [360], "y": [320], "z": [40]} for data in "abcdefgh"}, [2]))
    assert clear.found.p < 0.001
    assert "p < 0.001; ranks" in ranks.table(clear, "last").caption
    assert "Friedman p < 0.001." in diagram(clear.heads, clear.found).caption


def test_nothing_to_rank() -> None:
    rows, answers = grid({"a": {"x": [360]}}, [2])
    assert ranks.rank(rows, answers, "last") == (None, [])
    assert ranks.rank(rows.iloc[:0], answers, "last") == (None, [])
    rows, answers = grid({"a": {"x": [360, None], "y": [None, 320]}}, [2, 5])
    assert ranks.rank(rows, answers, "last") == (None, ["a d = 2 (y not trained)", "a d = 5 (x not trained)"])


def test_bars_join_what_does_not_differ() -> None:
    found = statistics.Ranks(np.array([1.0, 1.8, 4.0, 2.5]), 0.01, 1.0, 9)
    (axis,) = diagram(["a", "b", "c", "d"], found).figure.axes
    bars = [sorted(np.asarray(line.get_xdata()).tolist()) for line in axis.lines if line.get_linewidth() == 2]
    assert bars == [[1.0, 1.8], [1.8, 2.5]]


def test_a_rank_is_of_the_seeds_that_all_heads_have() -> None:
    """x is far behind with a seed that y has not, and ahead with the others; a mark with it says nothing of these."""
    x, y = (np.concatenate([first(right, 1) for right in rights]) for rights in ((40, 300, 300), (0, 280, 280)))
    rows, answers = known.answered({("x", 2): x, ("y", 2): y})
    rows = rows[(rows["head_label"] == "x") | (rows["seed"] > 0)]
    rows = rows.assign(health=np.where(rows["seed"] == 0, "diverged", "ok"))
    found = ranked(rows, answers)
    assert (found.found.average.tolist(), found.seeds, found.left_out) == ([1, 2], [2], [])


def test_ranks_are_of_the_selection_that_is_asked_for() -> None:
    rows, answers = grid({"a": {"x": [360], "y": [320]}}, [2])
    turned = rows.assign(selection="best_test", top1=1 - rows["top1"])
    both = pd.concat([rows, turned], ignore_index=True)
    for selection, order in (("last", ["x", "y"]), ("best_test", ["y", "x"])):
        found, _ = ranks.rank(both, answers, selection)
        assert found is not None
        assert ranks.table(found, selection).cells.index.tolist() == order


def test_verdicts_are_corrected_over_the_pairs_of_all_conditions() -> None:
    """x is better than y alone (p about 0.03), and not beside two conditions in which nothing differs."""
    base = np.random.default_rng(5).random((3, 2000)) < 0.8
    less = base.copy()
    less[:, :5] = False
    heads = {("x", 5): base, ("y", 5): less}
    others = {(head, dim): known.random(0.7, seed) for dim in (2, 3) for seed, head in enumerate("xy")}
    alone, beside = (ranked(*known.answered(own)).outcomes.loc["x"] for own in (heads, heads | others))
    assert (alone["better"], beside["better"]) == (1, 0)
