"""The sentences of the first screen, on answers of which it is known what they say."""

import re

import numpy as np
import pandas as pd
import pytest

from headbench.results import differences
from headbench.results.page import sentences
from tests.results.known import answered, random

# How many images heads get right.
PARTS = {"psc": 0.7, "hpn": 0.9, "etf": 0.5, "ebv": 0.4}


def said(heads: dict[tuple[str, int], np.ndarray]) -> list[str]:
    return sentences.answer(*answered(heads))


def test_one_head_is_best() -> None:
    (line,) = said({("psc", 5): random(0.9, 0), ("hpn", 5): random(0.7, 1), ("etf", 5): random(0.6, 2)})
    assert line.startswith("At d = 5 psc is better than all others, by ")
    assert line.endswith("] than hpn.")
    low, high = (float(end) for end in line.split("[")[1].split("]")[0].split(", "))
    assert low < 20 < high


def test_the_interval_of_the_only_other_head_is_its_own() -> None:
    (line,) = said({("psc", 5): random(0.7, 1), ("hpn", 5): random(0.9, 0)})
    assert line.startswith("At d = 5 hpn is better than psc, by ")
    assert line.endswith("].")


def test_what_cannot_be_told_apart_is_unresolved() -> None:
    right = random(0.8, 0, images=200)
    near = right.copy()
    near[:, ::60] = ~near[:, ::60]  # some of them better, more of them worse
    (line,) = said({("psc", 5): right, ("hpn", 5): near, ("etf", 5): random(0.2, 2, images=200)})
    assert line.startswith("At d = 5 no difference between psc and hpn is resolved; psc is better than etf, by ")


def test_heads_within_half_a_point_are_tied() -> None:
    right = random(0.8, 0, images=100_000)
    other = right.copy()
    other[:, :20] = ~other[:, :20]
    (line,) = said({("psc", 5): right, ("hpn", 5): other})
    assert " are tied, within ± 0.5 points." in line
    assert "unresolved" not in line
    assert "resolved" not in line


def test_equal_predictions_are_called_so() -> None:
    right = random(0.8, 0)
    assert said({("psc", 5): right, ("hpn", 5): right}) == [
        "At d = 5 psc and hpn predict the same class for every test image."
    ]


@pytest.mark.parametrize(("seeds", "words"), [(1, "One seed gives no verdict."), (2, "2 seeds give no verdict.")])
def test_few_seeds_give_no_verdict(seeds: int, words: str) -> None:
    first, second = random(0.9, 0)[:seeds], random(0.5, 1)[:seeds]
    (line,) = said({("psc", 5): first, ("hpn", 5): second})
    numbers = f"{100 * first.mean():.2f} %; hpn is next, {100 * (first.mean() - second.mean()):.2f} points below."
    assert line == f"{words} At d = 5 psc has the highest accuracy, {numbers}"


def test_the_next_of_one_seed_is_none_that_predicts_alike() -> None:
    first, second = random(0.9, 0)[:1], random(0.5, 1)[:1]
    (line,) = said({("psc", 5): first, ("etf", 5): first, ("hpn", 5): second})
    assert "; psc and etf predict the same class for every test image; hpn is next, " in line
    (line,) = said({("psc", 5): first, ("etf", 5): first})
    assert line.endswith(" %; psc and etf predict the same class for every test image.")


def test_a_head_of_fewer_seeds_takes_no_verdict_from_the_others() -> None:
    (line,) = said({("psc", 5): random(0.9, 0), ("hpn", 5): random(0.7, 1), ("etf", 5): random(0.6, 2)[:1]})
    assert line.startswith("At d = 5 psc is better than hpn, by ")
    assert line.endswith("; of etf there are too few seeds.")


def test_dimensions_at_which_the_heads_stand_alike_share_a_sentence() -> None:
    heads = {
        (head, dim): random(accuracy, dim + place)
        for dim in (2, 5, 9)
        for place, (head, accuracy) in enumerate((("psc", 0.9), ("hpn", 0.6 if dim < 9 else 0.99)))
    }
    first, second = said(heads)
    interval = r"\[(\d+\.\d\d), (\d+\.\d\d)\]"
    pattern = rf"At d = 2 and 5 psc is better than hpn, by (\d+\.\d\d) points {interval} to (\d+\.\d\d) {interval}\."
    found = re.fullmatch(pattern, first)
    assert found is not None, first
    gap, low, high, *most = map(float, found.groups())
    gaps = sorted(100 * (heads["psc", dim].mean() - heads["hpn", dim].mean()) for dim in (2, 5))
    assert [gap, most[0]] == pytest.approx(gaps, abs=0.006)
    assert low < gap < high
    assert most[1] < most[0] < most[2]
    assert second.startswith("At d = 9 hpn is better than psc, by ")


def test_a_head_with_a_mark_is_not_compared_and_named() -> None:
    rows, answers = answered({(head, 5): random(part, place) for place, (head, part) in enumerate(PARTS.items())})
    rows.loc[rows["head_label"] == "hpn", "health"] = "diverged"
    line, why = sentences.answer(rows, answers)
    assert line.startswith("At d = 5 psc is better than etf and ebv, by ")
    assert why == "hpn has no verdict at d = 5: diverged."
    rows.loc[rows["head_label"] == "hpn", "health"] = "ok"
    (line,) = sentences.answer(rows, answers)
    assert line.startswith("At d = 5 hpn is better than all others, by ")


def test_the_highest_accuracy_of_one_seed_is_that_of_the_heads_that_are_compared() -> None:
    rows, answers = answered({(head, 5): random(part, place)[:1] for place, (head, part) in enumerate(PARTS.items())})
    rows.loc[rows["head_label"] == "hpn", "health"] = "unfit rate"
    line, why = sentences.answer(rows, answers)
    assert "psc has the highest accuracy of those compared, " in line
    assert why == "hpn has no verdict at d = 5: unfit rate."


def test_where_no_heads_can_be_compared_that_is_said() -> None:
    rows, answers = answered({(head, dim): random(0.5, dim) for head in ("psc", "hpn") for dim in (2, 5, 9)})
    rows.loc[(rows["head_label"] == "hpn") & (rows["feature_dim"] < 9), "health"] = "not learned"
    apart = rows[(rows["feature_dim"] < 9) | ((rows["head_label"] == "psc") == (rows["seed"] == 0))]
    assert sentences.answer(apart, answers) == [
        "At d = 2 and 5 no heads are compared: fewer than two may be judged.",
        "At d = 9 no heads are compared: no two have a seed in common.",
        "hpn has no verdict at d = 2 and 5: not learned.",
    ]


def test_a_head_with_other_seeds_than_most_is_named_and_the_others_are_compared() -> None:
    rows, answers = answered({(head, 5): random(part, place) for place, (head, part) in enumerate(PARTS.items())})
    rows = rows[(rows["head_label"] == "hpn") == (rows["seed"] == 0)]
    line, why = sentences.answer(rows, answers)
    assert line.startswith("2 seeds give no verdict. At d = 5 psc has the highest accuracy of those compared, ")
    assert why == "hpn has no verdict at d = 5: no seed in common with the others."


def test_the_best_head_is_so_on_the_seeds_that_it_shares_with_the_others() -> None:
    """Of psc, which is worse with each of etf's seeds, the mean over all of its own is the higher one."""
    lucky = np.concatenate([random(0.7, 0), random(0.99, 1)])
    rows, answers = answered({("psc", 5): lucky, ("etf", 5): np.concatenate([random(0.85, 2), random(0.85, 3)])})
    rows = rows[(rows["head_label"] == "psc") | (rows["seed"] < 3)]
    (line,) = sentences.answer(rows, answers)
    assert line.startswith("At d = 5 etf is better than psc, by ")
    last = rows[rows["selection"] == "last"]
    assert differences.not_separated(last, answers) == {(5, "etf"): True, (5, "psc"): False}


def test_the_accuracy_of_the_best_head_is_of_the_seeds_that_it_shares_with_the_next() -> None:
    """Of its others it has less than the next head has."""
    own, other = np.concatenate([random(0.7, 0)[:1], random(0.5, 1)[:2]]), random(0.65, 2)[:1]
    (line,) = said({("psc", 5): own, ("hpn", 5): other})
    assert line == (
        f"One seed gives no verdict. At d = 5 psc has the highest accuracy, {100 * own[0].mean():.2f} % on what seeds "
        f"it shares with hpn; hpn is next, {100 * (own[0].mean() - other[0].mean()):.2f} points below."
    )


def test_a_gap_that_rounds_to_nothing_is_none() -> None:
    right = random(0.8, 0, n=1, images=100_000)
    other = right.copy()
    other[0, np.flatnonzero(right[0])[:3]] = False
    (line,) = said({("psc", 5): right, ("hpn", 5): other})
    assert line.endswith("hpn is next, less than 0.01 points below.")


def test_of_two_heads_that_were_not_compared_with_each_other_nothing_is_said() -> None:
    """The best one's accuracy moves from seed to seed; of the others one is clearly better than the other."""
    best = np.concatenate([random(accuracy, 0)[:1] for accuracy in (0.95, 0.8, 0.65)])
    near, far = random(0.78, 0), random(0.74, 0)
    rows, answers = answered({("psc", 5): best, ("hpn", 5): near, ("etf", 5): far})
    pair = differences.between(rows[rows["head_label"] == "hpn"], rows[rows["head_label"] == "etf"], answers)
    assert pair is not None
    assert pair.p < 0.001
    assert sentences.answer(rows, answers) == [
        "At d = 5 psc is ahead, and its differences to hpn and etf are not resolved."
    ]
    right = random(0.8, 0, images=100_000)
    one, other = right.copy(), right.copy()
    for changed, places in ((one, slice(20)), (other, slice(20, 40))):
        for seed in changed:  # as many better as worse
            for kind in (np.flatnonzero(seed), np.flatnonzero(~seed)):
                seed[kind[places]] ^= True
    (line,) = said({("psc", 5): right, ("hpn", 5): one, ("etf", 5): other})
    assert re.fullmatch(r"At d = 5 \w+ and \w+ are tied with \w+, within ± 0\.5 points\.", line)


def test_what_is_right_of_a_head_may_not_be_known() -> None:
    rows, answers = answered({(head, 5): random(part, place) for place, (head, part) in enumerate(PARTS.items())})
    del answers._cells[rows.loc[rows["head_label"] == "ebv", "cell_id"].iloc[0]]
    line, why = sentences.answer(rows, answers)
    assert line.startswith("At d = 5 hpn is better than psc and etf, by ")
    assert why == "ebv has no verdict at d = 5: which test images are right is not known."
    two = rows[rows["head_label"].isin(["psc", "ebv"])]
    assert sentences.answer(two, answers) == [
        "At d = 5 no heads are compared: which test images are right is not known."
    ]


def test_all_dimensions_are_named_and_of_many_heads_a_few() -> None:
    heads = {(head, dim): random(part, 0) for dim in range(2, 12) for head, part in (("psc", 0.9), ("hpn", 0.5))}
    (line,) = said(heads)
    assert line.startswith("At d = 2, 3, 4, 5, 6, 7, 8, 9, 10 and 11 psc is better than hpn, ")


def test_what_does_not_apply_or_failed_is_said() -> None:
    rows, answers = answered({("psc", 5): random(0.9, 0), ("hpn", 5): random(0.7, 1)})
    none = rows.iloc[:1].assign(head_label="etf", status="not_applicable", selection=None, feature_dim=5)
    more = none.assign(head_label="ebv")
    lost = rows.iloc[:1].assign(head_label="dl2pa", status="failed", selection=None)
    lines = sentences.answer(pd.concat([rows, none, none.assign(feature_dim=2), more, lost]), answers)
    assert lines[1:] == [
        "etf does not apply at d = 2 and 5.",
        "ebv does not apply at d = 5.",
        "1 cell failed and is in no number: dl2pa.",
    ]


def test_false_verdicts_are_rare() -> None:
    """Of heads that are equally good one is called better in at most a twentieth of all stores, and by chance a few
    more."""
    called = 0
    for draw in range(100):
        heads = {
            (head, dim): random(0.8, 1000 * draw + 10 * dim + place, images=300)
            for dim in (2, 5)
            for place, head in enumerate(("psc", "hpn", "etf"))
        }
        called += any("better" in line for line in said(heads))
    assert called <= 10


def test_without_a_second_head_nothing_is_said() -> None:
    assert said({("psc", 5): random(0.9, 0)}) == []


def test_with_few_uneven_seeds_no_head_is_called_best_that_another_one_beats() -> None:
    def right(*counts: int) -> np.ndarray:
        return np.stack([np.arange(100) < count for count in counts])

    rows, answers = answered({("c", 5): right(63, 1), ("a", 5): right(60, 70), ("b", 5): right(66, 62)})
    rows = rows[(rows["head_label"] != "c") | (rows["seed"] == 0)]
    assert sentences.answer(rows, answers) == [
        "2 seeds give no verdict. At d = 5 no head is ahead of all others on the seeds that they share."
    ]
    # The nearest on the seeds that both have, not by means over others.
    rows, answers = answered({("a", 5): right(70, 1), ("b", 5): right(66, 20), ("c", 5): right(40, 60)})
    rows = rows[(rows["head_label"] != "a") | (rows["seed"] == 0)]
    (line,) = sentences.answer(rows, answers)
    assert line.endswith("a has the highest accuracy, 70.00 %; b is next, 4.00 points below.")


def test_with_many_uneven_seeds_no_head_is_called_ahead_of_one_that_beats_it() -> None:
    """Of seeds that each two share b is ahead of a, c of b and a of c: any two have three."""

    def of_seeds(**by_head: dict[int, int]) -> list[str]:
        right = {
            (head, 5): np.stack([np.arange(400) < counts.get(seed, 0) for seed in range(9)])
            for head, counts in by_head.items()
        }
        rows, answers = answered(right)
        there = [seed in by_head[head] for head, seed in rows[["head_label", "seed"]].itertuples(index=False)]
        return sentences.answer(rows[there], answers)

    a = dict.fromkeys(range(6), 320)
    b = {0: 316, 1: 324, 2: 332, 6: 280, 7: 280, 8: 280}
    (line,) = of_seeds(a=a, b=b, c={0: 312, 3: 312, 4: 320, 5: 316, 6: 284, 7: 292, 8: 288})
    assert line == (
        "At d = 5 none is ahead on all seeds that two share, and c's differences to a and b are not resolved."
    )
    (line,) = of_seeds(a=a, b=b, c={0: 316, 3: 320, 4: 324, 5: 332, 6: 284, 7: 292, 8: 288})
    assert line == "At d = 5 c is ahead, and its differences to a and b are not resolved."


def test_dimensions_with_other_numbers_of_seeds_have_a_sentence_each() -> None:
    heads = {(head, dim): random(PARTS[head], dim, n=n) for dim, n in ((2, 1), (5, 2)) for head in ("psc", "etf")}
    assert [line.partition(".")[0] for line in said(heads)] == ["One seed gives no verdict", "2 seeds give no verdict"]
