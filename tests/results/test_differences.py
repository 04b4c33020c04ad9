"""What is bold: the heads that are not separated from the best."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from headbench.results.answers import Answer, Answers
from headbench.results.differences import below_floor, between, not_separated
from headbench.results.numbers import inference
from headbench.results.page import sentences
from headbench.results.tables import ranks
from tests.results import known


def test_bold_are_all_that_are_not_separated_from_the_best() -> None:
    heads = {("best", 5): known.random(0.80, 1), ("near", 5): known.random(0.80, 2), ("far", 5): known.random(0.40, 3)}
    rows, answers = known.answered(heads)
    assert not_separated(rows, answers) == {(5, "best"): True, (5, "near"): True, (5, "far"): False}


def test_without_separation_nothing_is_bold() -> None:
    rows, answers = known.answered({("a", 5): known.random(0.80, 1), ("b", 5): known.random(0.80, 2)})
    assert not any(not_separated(rows, answers).values())
    far, answers = known.answered({("a", 5): known.random(0.9, 1, n=2), ("b", 5): known.random(0.1, 2, n=2)})
    assert not any(not_separated(far, answers).values())
    alone, answers = known.answered({("a", 5): known.random(0.9, 1)})
    assert not_separated(alone, answers) == {}


def test_dimensions_are_separate() -> None:
    rows, answers = known.answered(
        {("a", 2): known.random(0.9, 1), ("b", 2): known.random(0.2, 2), ("a", 5): known.random(0.9, 3)}
    )
    assert not_separated(rows, answers) == {(2, "a"): True, (2, "b"): False}


def test_of_a_head_with_too_few_common_seeds_nothing_is_said() -> None:
    """It was never compared, however far below the best it is: neither bold nor separated."""
    heads = {
        ("best", 5): known.random(0.9, 1),
        ("far", 5): known.random(0.4, 2),
        ("few", 5): known.random(0.1, 3, n=2),
        ("other", 5): known.random(0.1, 4),
    }
    rows, answers = known.answered(heads)
    rows.loc[rows["head_label"] == "other", "seed"] += 7
    assert not_separated(rows, answers) == {(5, "best"): True, (5, "far"): False}


def test_the_family_is_the_whole_table() -> None:
    """A head that is separated alone (p about 0.03) is not, once the table has two more dimensions in which nothing
    differs.
    """
    rng = np.random.default_rng(5)
    base = rng.random((3, 2000)) < 0.8
    less = base.copy()
    less[:, :5] = False
    heads = {("a", 5): base, ("b", 5): less}
    assert 0.05 / 3 < inference.compare(base, less).p() < 0.05
    assert not_separated(*known.answered(heads)) == {(5, "a"): True, (5, "b"): False}
    others = {(head, dim): known.random(0.7, seed) for dim in (2, 3) for seed, head in enumerate(("a", "b"))}
    assert not any(not_separated(*known.answered(heads | others)).values())


def test_heads_that_predict_what_the_best_does_are_of_no_family() -> None:
    """A head that is separated alone (p about 0.03) is so beside two copies of the best, too: in tables and ranks."""
    rng = np.random.default_rng(5)
    base = rng.random((3, 2000)) < 0.8
    less = base.copy()
    less[:, :5] = False
    assert 0.05 / 3 < inference.compare(base, less).p() < 0.05
    rows, answers = known.answered({("a", 5): base, ("b", 5): less, ("c", 5): base, ("d", 5): base})
    assert not_separated(rows, answers) == {(5, "a"): True, (5, "b"): False, (5, "c"): True, (5, "d"): True}
    (standing,) = sentences.standings(rows, answers)
    assert standing.said == {"b": "better", "c": "identical", "d": "identical"}
    rows, answers = known.answered({("a", 5): base, ("b", 5): less})
    pair = between(rows[rows["head_label"] == "a"], rows[rows["head_label"] == "b"], answers)
    assert pair is not None
    same = replace(pair, identical=True)
    counted = ranks._outcomes(["a", "b", "c", "d"], [("a", "b", pair), ("a", "c", same), ("a", "d", same)])
    assert counted.loc["a"].to_dict() == {"better": 1, "tied": 2, "worse": 0, "unresolved": 0}


def test_recorded_rows_have_the_family_of_the_grid_that_they_are_of() -> None:
    """It is recorded which images are right, not what is predicted: two heads that agree in it are one test there too.

    The third head is separated with a p between 5 and 5 / 3 %: alone, and not if the second counted beside the first.
    """
    base = np.random.default_rng(5).random((3, 2000)) < 0.8
    less = base.copy()
    less[:, :5] = False
    assert 0.05 / 3 < inference.compare(base, less).p() < 0.05
    rows, answers = known.answered({("a", 5): base, ("b", 5): base, ("c", 5): less})
    recorded = Answers.known(
        {cell: {"last": replace(own["last"], digest=None)} for cell, own in answers._cells.items()}
    )
    for told, said in ((answers, "identical"), (recorded, "tied")):
        assert not_separated(rows, told) == {(5, "a"): True, (5, "b"): True, (5, "c"): False}
        (standing,) = sentences.standings(rows, told)
        assert standing.said == {"b": said, "c": "better"}


def test_each_head_could_have_been_the_best() -> None:
    """Of four heads alike but for a few images the worst is apart from the best with a p between 5 / 6 and 5 / 3 %: too
    much for six pairs, of which three are with the best.
    """
    base = np.random.default_rng(5).random((3, 2000)) < 0.8
    heads = {(head, 5): base.copy() for head in "abcd"}
    for head, lost in {"b": 1, "c": 2, "d": 7}.items():
        heads[head, 5][:, :lost] = False
    pairs = {
        (one, other): inference.compare(heads[one, 5], heads[other, 5]).p()
        for one, other in itertools.combinations("abcd", 2)
    }
    assert min(pairs, key=lambda pair: pairs[pair]) == ("a", "d")
    assert 0.05 / 6 < pairs["a", "d"] < 0.05 / 3
    rows, answers = known.answered(heads)
    assert not any(not_separated(rows, answers).values())
    (standing,) = sentences.standings(rows, answers)
    assert standing.best == "a"
    assert "better" not in standing.said.values()


def test_an_unhealthy_head_is_neither_the_best_nor_bold() -> None:
    heads = {("lucky", 5): known.random(0.95, 1), ("best", 5): known.random(0.80, 2), ("far", 5): known.random(0.40, 3)}
    rows, answers = known.answered(heads)
    rows.loc[(rows["head_label"] == "lucky") & (rows["seed"] == 0), "health"] = "diverged"
    assert not_separated(rows, answers) == {(5, "best"): True, (5, "far"): False}


@pytest.mark.parametrize("metric", ["nll", "brier", "ece_raw", "ece_native", "ece_temperature"])
def test_of_errors_the_least_is_the_best(metric: str) -> None:
    rows, answers = known.answered({(head, 5): known.random(0.8, 1) for head in ("low", "high")})
    rows[metric] = [0.10, 0.11, 0.10, 0.30, 0.31, 0.30]
    assert not_separated(rows, answers, metric) == {(5, "low"): True, (5, "high"): False}


def test_of_errors_the_least_is_the_best_and_nothing_is_bold_below_the_floor() -> None:
    rows, answers = known.answered({(head, 5): known.random(0.8, 1) for head in ("low", "high")})
    values = np.array([0.10, 0.11, 0.10, 0.30, 0.31, 0.30])
    rows = rows.assign(
        ece_temperature=values, ece_temperature_low=values - 0.01, ece_temperature_high=values + 0.01, ece_floor=0.02
    )
    assert not_separated(rows, answers, "ece_temperature") == {(5, "low"): True, (5, "high"): False}
    assert not any(not_separated(rows.assign(ece_floor=0.2), answers, "ece_temperature").values())
    # The floor is that of the temperature's view alone.
    other = {f"ece_native{end}": rows[f"ece_temperature{end}"] for end in ("", "_low", "_high")}
    found = not_separated(rows.assign(ece_floor=0.2, **other), answers, "ece_native")
    assert found == {(5, "low"): True, (5, "high"): False}


@pytest.mark.parametrize("metric", ["top1", "nll"])
def test_heads_are_paired_by_seed_in_whatever_order_their_rows_are(metric: str) -> None:
    rows, answers = known.answered({("a", 5): known.random(0.8, 1), ("b", 5): known.random(0.7, 2)})
    rows["nll"] = [0.5, 0.6, 0.8, 0.4, 0.5, 0.9]
    one, other = (rows[rows["head_label"] == head] for head in ("a", "b"))
    paired = between(one, other, answers, metric)
    assert paired is not None
    assert between(one, other.iloc[[2, 0, 1]], answers, metric) == paired
    assert between(one.iloc[[2, 0, 1]], other, answers, metric) == paired


def test_the_variance_over_images_widens_a_difference_of_values() -> None:
    rows, answers = known.answered({("a", 5): known.random(0.8, 1), ("b", 5): known.random(0.8, 2)})
    rows["nll"] = [0.5, 0.51, 0.5, 0.4, 0.41, 0.4]

    def error(table: pd.DataFrame) -> float:
        found = between(table[table["head_label"] == "a"], table[table["head_label"] == "b"], answers, "nll")
        assert found is not None
        return found.difference.error

    # Arms of 0.0196 are 1.96 standard errors of 0.01; of arms of unequal length the longer counts.
    wide = rows.assign(nll_low=rows["nll"] - 0.0196, nll_high=rows["nll"] + 0.001)
    assert math.isclose(error(wide), math.sqrt(2 * 0.01**2), rel_tol=1e-4)
    # Each head has its own.
    wider = wide.assign(nll_low=wide["nll_low"].where(wide["head_label"] == "a", rows["nll"] - 2 * 0.0196))
    assert math.isclose(error(wider), math.sqrt(0.01**2 + 0.02**2), rel_tol=1e-4)
    assert between(rows[rows["head_label"] == "a"], rows[rows["head_label"] == "c"], answers) is None


def test_nothing_is_bold_where_the_best_is_beaten_on_the_seeds_that_two_share() -> None:
    """Of seeds that each two share b is ahead of a, c of b and a, by ten points, of c."""
    counts = {
        "a": dict.fromkeys(range(6), 1600),
        "b": dict.fromkeys(range(3), 1640) | dict.fromkeys(range(6, 9), 1400),
        "c": dict.fromkeys((0, 3, 4, 5), 1400) | dict.fromkeys(range(6, 9), 1600),
    }
    rng = np.random.default_rng(0)
    right = {
        (head, 5): np.stack([rng.permutation(2000) < own.get(seed, 0) for seed in range(9)])
        for head, own in counts.items()
    }
    rows, answers = known.answered(right)
    rows = rows[[seed in counts[head] for head, seed in rows[["head_label", "seed"]].itertuples(index=False)]]
    for ahead in ("ba", "cb", "ac"):
        first, second = (rows[rows["head"] == head] for head in ahead)
        pair = between(first, second, answers)
        assert pair is not None
        assert pair.difference.mean > 0.01
    assert not_separated(rows, answers) == {}
    # Without the third the second is better than the first on all seeds that they share.
    two = rows[rows["head"] != "c"]
    assert not_separated(two, answers) == {(5, "b"): True, (5, "a"): False}


def test_a_metric_whose_interval_is_not_known_is_not_compared() -> None:
    """As NLL of rows of the first schema: over seeds alone two heads would be told apart that new images would not."""
    rows, answers = known.answered({("x", 5): known.random(0.7, 0), ("y", 5): known.random(0.7, 1)})
    values = {"x": [1.000, 1.001, 1.002], "y": [1.0035, 1.0043, 1.0054]}
    rows = rows.assign(nll=[*values["x"], *values["y"]])
    told = rows.assign(nll_low=rows["nll"] - 0.02, nll_high=rows["nll"] + 0.02)
    pair = between(told[told["head"] == "x"], told[told["head"] == "y"], answers, "nll")
    assert pair is not None
    assert pair.p > 0.5
    unknown = rows.assign(nll_low=np.nan, nll_high=np.nan)
    assert between(unknown[unknown["head"] == "x"], unknown[unknown["head"] == "y"], answers, "nll") is None
    assert not_separated(unknown, answers, "nll") == {}


def test_measures_of_two_views_are_not_compared() -> None:
    rows, answers = known.answered({("a", 5): known.random(0.8, 1), ("b", 5): known.random(0.8, 2)})
    rows = rows.assign(nll=0.5, nll_low=0.49, nll_high=0.51, calibration_view="temperature")
    rows["nll"] += 0.01 * rows["seed"] * (rows["head"] == "a")
    one, other = (rows[rows["head"] == head] for head in "ab")
    assert between(one, other, answers, "nll") is not None
    assert between(one, other.assign(calibration_view="native"), answers, "nll") is None
    assert between(one, other.assign(calibration_view="native"), answers) is not None


def test_the_floor_is_compared_with_the_mean_over_seeds() -> None:
    rows, _ = known.answered({("a", 5): known.random(0.8, 1)})
    values = np.array([0.1, 0.2, 0.6])
    measured = rows.assign(ece_temperature=values)
    assert below_floor(measured.assign(ece_floor=0.31), "ece_temperature")
    assert not below_floor(measured.assign(ece_floor=0.29), "ece_temperature")


def test_heads_are_compared_by_the_answers_of_the_selection() -> None:
    """At the last epoch a is ahead, at the best one b."""
    accuracies = {("a", "last"): 0.8, ("b", "last"): 0.6, ("a", "best_test"): 0.5, ("b", "best_test"): 0.9}
    cells, parts = dict[str, dict[str, Answer]](), list[pd.DataFrame]()
    for number, ((head, selection), accuracy) in enumerate(accuracies.items()):
        part, own = known.answered({(head, 5): known.random(accuracy, number)})
        parts.append(part.assign(selection=selection))
        for cell_id, answers in own._cells.items():
            cells.setdefault(cell_id, {})[selection] = answers["last"]
    rows, known_answers = pd.concat(parts, ignore_index=True), Answers.known(cells)
    for selection in ("last", "best_test"):
        one, other = (rows[(rows["head"] == head) & (rows["selection"] == selection)] for head in "ab")
        pair = between(one, other, known_answers)
        assert pair is not None
        assert pair.difference.mean == pytest.approx(one["top1"].mean() - other["top1"].mean())
