"""Tables of a search from studies in memory whose trials are known."""

import numpy as np
import pytest

from headbench.results.numbers import best_of, inference
from headbench.results.tuning import against_default, budgets, found
from headbench.results.tuning.search import Search
from tests.results.known import answered, random
from tests.results.tuning import known


def test_the_summary_says_how_trials_ended_and_which_was_best() -> None:
    psc = known.search(
        "psc",
        [
            known.trial(0.8, 0.1),
            known.trial(0.7, 0.2, "PRUNED"),
            known.trial(0.9, 0.3),
            known.trial(0.9, 0.4),
            known.trial(None, 0.5, "FAIL"),
            known.trial(None, 0.6, "RUNNING"),
        ],
    )
    never = known.search("etf", [known.trial(0.95, 0.1, "PRUNED")])
    made = found.summary([psc, never, known.search("hpn", [])], "by hand", "toy")
    assert made.cells.reset_index().to_numpy().tolist() == [
        [9, "psc", "3 finished, 1 pruned, 1 failed, 1 under way", "80.00", "90.00", "2", "recipe.lr=0.3 head.scale=3"],
        [9, "etf", "1 pruned", "-", "-", "-", "-"],
        [9, "hpn", "none", "-", "-", "-", "-"],
    ]


def test_the_best_loss_is_the_lowest() -> None:
    search = known.search("psc", [known.trial(value, 0.1) for value in (0.5, 0.3, 0.4)], ["val_nll"])
    assert found.summary([search], "", "toy").cells.iloc[0, 2] == "0.300"
    made = budgets.table([search], "", "toy")
    assert made is not None
    assert made.tidy[["mean", "worse", "better"]].to_numpy()[1] == pytest.approx([(2 * 0.3 + 0.4) / 3, 0.4, 0.3])


def test_budgets_are_the_bests_of_k_and_say_where_the_order_turns() -> None:
    """0.5 always against once 0.9 of eight and else 0.2: see the test of the numbers."""
    steady, rare = known.of_values("psc", [0.5] * 8), known.of_values("etf", [0.2] * 7 + [0.9])
    made = budgets.table([steady, rare], "by hand", "toy")
    assert made is not None
    assert made.cells.index.tolist() == [(9, 1), (9, 2), (9, 4), (9, 8)]
    expected = best_of.best_of(np.array([0.2] * 7 + [0.9]), 4)
    assert made.cells.loc[(9, 4), "etf"] == f"{100 * expected.mean:.2f} [20.00, 90.00]"
    assert made.cells.loc[(9, 4), "psc"] == "50.00 [50.00, 50.00]"
    turn = "changes with the budget in 1 of 1 pairs: at d = 9 psc from k = 1, then etf from k = 4 (it hangs on the"
    assert turn in made.caption
    same = budgets.table([steady, known.of_values("etf", [0.6] * 8)], "", "toy")
    assert same is not None
    assert "is the same for every budget" in same.caption


def test_pruned_trials_count_and_failed_ones_do_not() -> None:
    """One that diverged in its first epoch counts as the worst."""
    trials = [
        known.trial(0.9, 0.1),
        known.trial(0.5, 0.1, "PRUNED"),
        known.trial(None, 0.1, "PRUNED"),
        known.trial(None, 0.1, "FAIL"),
    ]
    made = budgets.table([known.search("psc", trials)], "", "toy")
    assert made is not None
    assert made.cells["psc"].tolist() == [
        f"{190 / 3:.2f} [50.00, 90.00]",
        f"{230 / 3:.2f} [50.00, 90.00]",
        "90.00 [90.00, 90.00]",
    ]
    assert budgets.table([known.search("psc", trials[2:])], "", "toy") is None


def test_a_pruned_trial_is_worth_no_more_than_the_best_that_was_trained_to_its_end() -> None:
    """Its last value, of an epoch before the loss rises again, is none that a search returns."""
    trials = [
        known.trial(1.5, 0.1),
        known.trial(1.6, 0.1),
        known.trial(1.3, 0.1, "PRUNED"),
        known.trial(2.0, 0.1, "PRUNED"),
    ]
    made = budgets.table([known.search("psc", trials, ["val_nll"])], "", "toy")
    assert made is not None
    assert made.tidy["mean"].tolist() == pytest.approx([(1.5 + 1.6 + 1.5 + 2.0) / 4, (5 * 1.5 + 1.6) / 6, 1.5])
    assert budgets.table([known.search("psc", trials[2:], ["val_nll"])], "", "toy") is None


def test_of_equals_in_the_first_objective_the_next_one_chooses() -> None:
    trials = [known.trial((0.9, error), error) for error in (0.3, 0.1, 0.2)]
    best = known.search("psc", trials, ["val_top1", "val_ece"]).best()
    assert best is not None
    assert best.values == [0.9, 0.1]


def test_every_trial_is_listed_with_what_went_wrong() -> None:
    trials = [
        known.trial(0.8, 0.1, cell_id="abc", health=["diverged"]),
        known.trial(None, 0.2, "FAIL", error="RuntimeError: no luck"),
    ]
    made = found.trials([known.search("psc", trials)], "", "toy")
    assert made is not None
    assert made.cells[["ended", "cell", "note"]].to_numpy().tolist() == [
        ["finished", "abc", "diverged"],
        ["failed", "-", "RuntimeError: no luck"],
    ]
    assert found.trials([known.search("psc", [])], "", "toy") is None


def test_of_many_trials_the_page_shows_the_best_and_the_file_has_all() -> None:
    values = np.random.default_rng(0).permutation(found.MOST + 1) / 1000
    made = found.trials([known.of_values("psc", values.tolist())], "", "toy")
    assert made is not None
    assert made.cells["trial"].astype(int).tolist() == np.argsort(-values)[: found.BEST].tolist()
    assert len(made.tidy) == found.MOST + 1
    failed = found.trials([known.search("psc", [known.trial(None, 0.1, "FAIL")] * (found.MOST + 1))], "", "toy")
    assert failed is not None
    assert len(failed.cells) == found.BEST
    assert f"all {found.MOST + 1} are in tables/toy-search-trials.csv" in made.caption


def test_a_front_is_what_no_trial_beats() -> None:
    values = np.random.default_rng(0).integers(0, 6, (40, 2)) / 10
    search = known.search("psc", [known.trial(pair, 0.1) for pair in values.tolist()], ["val_top1", "val_ece"])
    expected = [
        list(pair)
        for pair in values.tolist()
        if not any(a >= pair[0] and b <= pair[1] and [a, b] != pair for a, b in values.tolist())
    ]
    assert [trial.values for trial in search.front] == expected
    assert 0 < len(expected) < 40
    made = found.trials([search], "", "toy")
    assert made is not None
    assert [values.tolist()[place] for place in np.flatnonzero(made.cells["front"] == "yes")] == expected


def test_tuned_cells_are_paired_with_the_others_by_their_seeds() -> None:
    heads = {("psc", 5): random(0.6, 1), ("etf", 5): random(0.7, 2), ("hpn", 5): random(0.7, 3)}
    better = heads | {("etf", 5): random(0.8, 2), ("hpn", 9): random(0.8, 4)}
    own, answers = answered(heads)
    tuned, others = answered(better, recipe="fast", dataset="cifar100")
    tuned = tuned.assign(cell_id="tuned " + tuned["cell_id"], tuned=12)
    answers._cells |= {f"tuned {cell_id}": answer for cell_id, answer in others._cells.items()}
    made = against_default.table(own, tuned, answers, "by hand", "toy")
    assert made is not None
    assert [key for key, _ in made.cells.iterrows()] == [(5, "psc"), (5, "etf"), (5, "hpn")]
    expected = inference.compare(better["etf", 5], heads["etf", 5])
    assert made.tidy[["mean", "low", "high"]].to_numpy()[1] == pytest.approx(
        [100 * value for value in (expected.mean, expected.low, expected.high)]
    )
    assert made.tidy["verdict"].tolist() == ["identical predictions", "better", "identical predictions"]
    assert "tuned with 12 trials each" in made.caption


def test_the_order_is_of_heads_at_one_dimension() -> None:
    """The second head would lead from k = 4 on, but it was searched at another dimension."""
    made = budgets.table([known.of_values("psc", [0.5] * 8), known.of_values("etf", [0.2] * 7 + [0.9], dim=5)], "", "")
    assert made is not None
    assert "order of the heads" not in made.caption


def test_the_first_value_is_that_of_the_grids_own_values_also_where_trial_0_failed() -> None:
    trials = [known.trial(None, 0.1, "FAIL"), known.trial(0.7, 0.2), known.trial(0.6, 0.1)]
    study = known.study("psc", trials)
    study.set_user_attr("settings", {"objectives": ["val_top1"], "start": trials[0].params})
    assert found.summary([Search(study)], "", "toy").cells.iloc[0, 1] == "60.00"
