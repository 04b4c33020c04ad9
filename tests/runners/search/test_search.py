"""The driver of a search, by a formula in place of trainings: budgets, stops, failures, storages, wrong wishes."""

import math
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from rich.console import Console

from headbench.core.errors import StoppedError, UserError
from headbench.results import store
from headbench.results.tuning import searches
from headbench.runners.execution import launch, locks, queue
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.progress import Display
from headbench.runners.grid import tuned
from headbench.runners.grid.cells import Cell
from headbench.runners.search import found as found_in
from headbench.runners.search import search, space, studies
from headbench.runners.search.driver import Driver
from headbench.runners.search.studies import Asked
from headbench.runners.training import hardware
from tests.runners.helpers import QUICK, cell, digits, grid, planned
from tests.runners.search.helpers import EPOCHS, TIMES, Formula, options, run, trials

Before = Callable[[Planned, int], None]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture
def formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Formula]:
    """Let a formula train the cells of ``out``; ``before`` is called before each epoch."""

    def use(out: Path = tmp_path, before: Before = lambda one, epoch: None) -> Formula:
        made = Formula(out, before)
        monkeypatch.setattr(launch, "executor", lambda job, machine: made)
        return made

    return use


def same(frame: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(frame.drop(columns=TIMES), other.drop(columns=TIMES))


def test_every_head_gets_the_same_number_of_trials_the_first_with_its_own_values(formula: Any, tmp_path: Path) -> None:
    formula()
    assert run(tmp_path, 9).complete
    found = trials(tmp_path)
    counted = found[found["state"].isin(["complete", "pruned"])].groupby("head_label").size()
    assert counted.tolist() == [9, 9]
    assert len(found) == 18
    assert (found["state"] == "pruned").sum() > 2
    first = found[found["trial"] == 0]
    assert first["recipe.lr"].tolist() == [0.05, 0.05]
    ldam = first[first["head_label"] == "ldam(drw=True)"]
    assert ldam[["head.scale", "head.margin"]].to_numpy().tolist() == [[30.0, 0.5]]
    assert found.groupby("head_label")["recipe.lr"].nunique().tolist() == [9, 9]
    # In the trials that are drawn by chance all heads try the same rates.
    drawn = found[found["trial"] < studies.RANDOM].pivot_table("recipe.lr", "trial", "head_label")
    assert drawn.nunique(axis=1).tolist() == [1] * studies.RANDOM
    written = tuned.read(tmp_path / "tiny" / "tuned.yaml")
    for own in written.studies:
        rows = found[(found["study"] == own.study) & (found["state"] == "complete")]
        best = rows.sort_values("val_top1", ascending=False, kind="stable").iloc[0]
        assert (own.trial, own.values["val_top1"]) == (best["trial"], best["val_top1"])
        assert own.trials == 9
    assert run(tmp_path, 9).complete
    same(trials(tmp_path), found)


def test_a_trial_is_judged_by_its_last_epoch_not_by_its_best_one(
    formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = Driver.finished

    def with_a_better_epoch(driver: Driver, one: Planned, result: dict[str, Any]) -> None:
        last = result["selections"]["last"]
        finished(driver, one, result | {"selections": {"best_val": last | {"val_top1": 0.99}, "last": last}})

    formula()
    monkeypatch.setattr(Driver, "finished", with_a_better_epoch)
    run(tmp_path, 1, grid(recipe=QUICK | {"epochs": 2}))
    assert trials(tmp_path)["val_top1"].tolist() == pytest.approx([0.85])  # of the formula


def test_a_search_that_is_stopped_again_and_again_ends_as_one_that_was_not(formula: Any, tmp_path: Path) -> None:
    whole = formula(tmp_path / "whole")
    run(tmp_path / "whole", 7)
    left = [3, 1, 4, 1, 5, 9, 2, 6]

    def stop(one: Planned, epoch: int) -> None:
        if left and not left[0]:
            del left[0]
            raise KeyboardInterrupt
        if left:
            left[0] -= 1

    cut = formula(tmp_path, stop)
    while left:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, 7)
    run(tmp_path, 7)
    same(trials(tmp_path), trials(tmp_path / "whole"))
    assert sorted(cut.trained) == sorted(whole.trained)


def test_a_search_in_a_database_is_the_same(formula: Any, tmp_path: Path) -> None:
    formula()
    contents, database = grid(recipe=QUICK | {"epochs": 3}), f"sqlite:///{tmp_path}/search.db"
    run(tmp_path, 2, contents)
    formula(tmp_path / "other")
    for number in (1, 2):
        run(tmp_path / "other", number, contents, storage=database)
    same(trials(tmp_path), trials(tmp_path / "other"))


def test_more_trials_go_on_with_a_search(formula: Any, tmp_path: Path) -> None:
    formula()
    run(tmp_path, 3)
    few = trials(tmp_path)
    run(tmp_path, 6)
    found = trials(tmp_path)
    same(found[found["trial"] < 3].reset_index(drop=True), few)
    formula(tmp_path / "other")
    run(tmp_path / "other", 6)
    same(found, trials(tmp_path / "other"))


def test_what_fails_is_recorded_and_replaced_and_the_others_go_on(formula: Any, tmp_path: Path) -> None:
    def fail(one: Planned, epoch: int) -> None:
        if one.cell.head == "ldam" and one.cell.recipe.lr > 0.1 and epoch == 2:
            raise ValueError("the training loss is nan in epoch 2")

    formula(before=fail)
    assert run(tmp_path, 6).complete
    found = trials(tmp_path)
    failed = found[found["state"] == "fail"]
    assert set(failed["error"]) == {"ValueError: the training loss is nan in epoch 2"}
    assert set(failed["head_label"]) == {"ldam(drw=True)"}
    assert len(found) == 12 + len(failed)
    assert found[found["state"] != "fail"].groupby("head_label").size().tolist() == [6, 6]


def test_a_head_that_always_fails_ends(formula: Any, tmp_path: Path) -> None:
    def fail(one: Planned, epoch: int) -> None:
        if one.cell.head == "ldam":
            raise ValueError("no luck")

    formula(before=fail)
    searched = run(tmp_path, 4)
    assert not searched.complete
    found = trials(tmp_path)
    assert found.groupby("head_label")["state"].value_counts().tolist() == [4, 4]
    given_up = next(study for study in searched.studies if not study.ended)
    assert "4 fail, given up after 4 failed trials; no trial was completed" in found_in.line(given_up)
    asked = options(tmp_path, 4, grid(axes={"head": ["psc", "ldam"]}, recipe=QUICK | {"epochs": EPOCHS})).run
    asked = replace(asked, tuned=tmp_path / "tiny" / "tuned.yaml")
    (one,) = launch.prepare(replace(asked, where=["head=psc"])).planned
    assert one.cell.tuned == 4
    with pytest.raises(UserError, match="it has no values for ldam.*; search them with bench.py tune, or leave"):
        launch.prepare(asked)


def test_what_has_failed_is_tried_again_where_that_is_asked(formula: Any, tmp_path: Path) -> None:
    def fail(one: Planned, epoch: int) -> None:
        if one.cell.head == "ldam":
            store.write_ending(store.cell_folder(tmp_path, one.cell_id), "failed", "no luck")
            raise ValueError("no luck")

    formula(before=fail)
    assert not run(tmp_path, 3).complete
    made, asked = formula(), options(tmp_path, 3)
    assert not search.run(asked, Console(quiet=True)).complete
    assert not made.trained
    again = replace(asked, run=replace(asked.run, retry_failed=True))
    searched = search.run(again, Console(quiet=True))
    assert searched.complete
    found = trials(tmp_path)
    own = found[(found["head_label"] == "ldam(drw=True)") & (found["state"] == "complete")]
    assert len(own) == 3
    failed = found[found["state"] == "fail"].iloc[0]
    assert own.iloc[0]["recipe.lr"] == failed["recipe.lr"]  # the grid's own values
    assert not list(store.cell_folder(tmp_path, own.iloc[0]["cell_id"]).glob("error.txt"))
    assert search.run(again, Console(quiet=True)).complete
    assert len(trials(tmp_path)) == len(found)


def test_a_search_goes_on_in_its_own_precision_alone(
    formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda _: False)
    made = formula()
    run(tmp_path, 1)
    before, (trained, *_) = len(made.trained), trials(tmp_path)["cell_id"]

    def elsewhere(ids: list[str], out: Path) -> dict[str, queue.Finished]:
        return {cell_id: queue.Finished("psc", False, "bf16", 1.0) for cell_id in ids if cell_id == trained}

    monkeypatch.setattr(queue, "finished", elsewhere)
    with pytest.raises(UserError, match=f"cell {trained} was trained in bf16, and --precision auto is fp32"):
        run(tmp_path, 2)
    # Nor with another head, whose values would stand beside those of the first.
    asked = options(tmp_path, 2)
    with pytest.raises(UserError, match=f"cell {trained} was trained in bf16"):
        search.run(replace(asked, run=replace(asked.run, where=["head=ldam"])), Console(quiet=True))
    assert len(made.trained) == before


def test_a_new_trial_takes_no_finished_cell_of_another_precision(
    formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda _: False)
    formula()
    run(tmp_path / "before", 2)
    (second,) = trials(tmp_path / "before").query("trial == 1 and head_label == 'psc'")["cell_id"]

    def elsewhere(ids: Any, out: Path) -> dict[str, queue.Finished]:
        return {cell_id: queue.Finished("psc", False, "bf16", 1.0) for cell_id in ids if cell_id == second}

    monkeypatch.setattr(queue, "finished", elsewhere)
    made = formula()
    with pytest.raises(UserError, match=f"cell {second} was trained in bf16, and --precision auto is fp32"):
        run(tmp_path, 2)
    assert second not in {planned.cell_id for planned in made.trained}


@pytest.mark.parametrize(("by", "kept"), [("other", True), ("tiny", False), ("", False)])
def test_only_its_own_prunings_end_a_trial(by: str, kept: bool, formula: Any, tmp_path: Path) -> None:
    """Two grids whose first trials are the same cells: what one of them has pruned the other one trains."""
    formula()
    run(tmp_path, 2)
    (row,) = trials(tmp_path).query("trial == 1 and head_label == 'psc'").to_dict("records")
    folder, study = store.cell_folder(tmp_path, row["cell_id"]), row["study"].replace("tiny", by, 1)
    why = "val_top1 0.1000 after epoch 1 is behind the median of the other trials"
    store.write_ending(folder, "pruned", f"{why} of study '{study}'" if by else why)
    named = grid(axes={"head": ["psc", "ldam"]}, recipe=QUICK | {"epochs": EPOCHS}) | {"name": "other"}
    run(tmp_path, 2, named)
    assert row["cell_id"] in set(trials(tmp_path, name="other")["cell_id"])
    assert (store.read_ending(folder) is not None) == kept


def test_values_that_no_search_here_has_found_are_kept(
    formula: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formula()
    run(tmp_path, 2)
    file = tmp_path / "tiny" / "tuned.yaml"
    for number, change in enumerate([lambda text: text, lambda text: f"{text}note: mine\n"], start=1):
        before = change(file.read_text())
        file.write_text(before)
        if number == 1:
            shutil.rmtree(searches.folder_of(tmp_path, "tiny"))
        run(tmp_path, 1)
        assert (tmp_path / "tiny" / f"tuned.yaml.former-{number}").read_text() == before
        assert "are kept in" in capsys.readouterr().err


def test_what_failed_is_not_queued_where_a_study_wants_no_trial(formula: Any, tmp_path: Path) -> None:
    def fail(one: Planned, epoch: int) -> None:
        if one.cell.recipe.lr == QUICK["lr"]:
            raise ValueError("no luck")

    formula(before=fail)
    assert run(tmp_path, 2).complete
    asked = options(tmp_path, 2)
    search.run(replace(asked, run=replace(asked.run, retry_failed=True)), Console(quiet=True))
    assert set(trials(tmp_path)["state"]) == {"complete", "fail"}


def test_two_heads_that_a_search_has_made_one_are_refused_by_name(tmp_path: Path) -> None:
    heads = [cell({"name": "square", "own_weight": weight}) for weight in (5, 15)]
    found = [
        {"study": str(n), "where": tuned.where(one), "trials": 3, "trial": 1, "set": {"head.own_weight": 7.0}}
        for n, one in enumerate(heads)
    ]
    content = {"grid": "tiny", "objectives": ["val_top1"], "cell_seed": 9, "studies": found}
    known = tuned.Tuned.model_validate(content)
    with pytest.raises(UserError, match=r"found the same values for square.* and square\(own_weight=15.*one out with"):
        tuned.apply(heads, known, tmp_path / "tuned.yaml")


def test_two_recipes_that_a_search_has_made_one_are_refused_by_name(tmp_path: Path) -> None:
    cells = [
        cell("psc", recipe=QUICK | {"lr": rate, "search": {"lr": {"low": 0.01, "high": 1}}}) for rate in (0.05, 0.06)
    ]
    found = [
        {"study": str(n), "where": tuned.where(one), "trials": 3, "trial": 1, "set": {"recipe.lr": 0.07}}
        for n, one in enumerate(cells)
    ]
    content = {"grid": "tiny", "objectives": ["val_top1"], "cell_seed": 9, "studies": found}
    with pytest.raises(UserError, match=r"the same values for psc by fast\(.* and psc by fast\(.*, d = 5, on digits"):
        tuned.apply(cells, tuned.Tuned.model_validate(content), tmp_path / "tuned.yaml")


def test_a_head_that_was_searched_in_other_intervals_is_no_neighbour(formula: Any, tmp_path: Path) -> None:
    """Also where it is not searched now: its values stand in the same file."""
    formula()

    def contents(heads: list[str], high: float) -> dict[str, Any]:
        search = {"lr": {"low": 0.01, "high": high}}
        return grid(axes={"head": heads}, recipe=QUICK | {"epochs": EPOCHS, "search": search})

    run(tmp_path, 1, contents(["psc"], 1.0))
    asked = options(tmp_path, 1, contents(["psc", "hpn"], 9.0))
    with pytest.raises(UserError, match="study 'tiny digits psc .*': it was started with recipe.lr .*; undo that, or"):
        search.run(replace(asked, run=replace(asked.run, where=["head=hpn"])), Console(quiet=True))
    asked = options(tmp_path, 1, contents(["psc", "hpn"], 1.0))
    assert search.run(replace(asked, run=replace(asked.run, where=["head=hpn"])), Console(quiet=True)).complete


def test_values_of_another_recipe_are_named_so(formula: Any, tmp_path: Path) -> None:
    formula()
    run(tmp_path, 1)
    asked = options(tmp_path, 1, grid(axes={"head": ["psc"]}, recipe=QUICK | {"epochs": EPOCHS + 1})).run
    with pytest.raises(
        UserError, match=r"no values for psc, d = 5, on digits with recipe .*, but with recipe .*; search"
    ):
        launch.prepare(replace(asked, tuned=tmp_path / "tiny" / "tuned.yaml"))


def test_a_damaged_journal_is_named(formula: Any, tmp_path: Path) -> None:
    formula()
    run(tmp_path, 1)
    journal = searches.folder_of(tmp_path, "tiny") / "journal.log"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:2], lines[2][:9] + "\n", *lines[3:]]))
    with pytest.raises(UserError, match=f"a line of {journal} is damaged, and the file is left as it is"):
        run(tmp_path, 2)


def test_the_values_of_another_state_of_a_grid_are_kept(
    formula: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formula()
    run(tmp_path, 2, grid(recipe=QUICK | {"epochs": EPOCHS}))
    file = tmp_path / "tiny" / "tuned.yaml"
    before = file.read_text()
    run(tmp_path, 1, grid(recipe=QUICK | {"epochs": EPOCHS + 1}))
    assert (tmp_path / "tiny" / "tuned.yaml.former-1").read_text() == before
    assert "the values of an earlier search of grid 'tiny' are kept in" in capsys.readouterr().err
    assert [study.trials for study in tuned.read(file).studies] == [1]
    run(tmp_path, 2, grid(recipe=QUICK | {"epochs": EPOCHS + 1}))
    assert not (tmp_path / "tiny" / "tuned.yaml.former-2").exists()


def test_data_sets_of_which_nothing_is_searched_need_not_be_at_hand(formula: Any, tmp_path: Path) -> None:
    formula()
    asked = options(tmp_path, 2, grid(axes={"dataset": ["cifar10", "digits"]}))
    assert search.run(replace(asked, run=replace(asked.run, where=["dataset=digits"])), Console(quiet=True)).complete
    assert trials(tmp_path)["dataset"].tolist() == ["digits", "digits"]


def test_what_is_known_of_the_other_data_sets_stays(formula: Any, tmp_path: Path) -> None:
    formula()
    contents = grid(axes={"dataset": ["digits-3-5-8", "digits"], "head": ["psc", "etf"]})
    run(tmp_path, 2, contents)
    before = searches.read(tmp_path, "tiny")
    asked = options(tmp_path, 3, contents)
    search.run(replace(asked, run=replace(asked.run, where=["dataset=digits"])), Console(quiet=True))
    found = tuned.read(tmp_path / "tiny" / "tuned.yaml").studies
    assert {study.where["dataset"]: study.trials for study in found} == {"digits": 3, "digits-3-5-8": 2}
    after = searches.read(tmp_path, "tiny")
    assert before is not None
    assert after is not None
    for key in ("studies", "not_applicable"):
        assert sorted(cell["cell_id"] for cell in after[key]) == sorted(cell["cell_id"] for cell in before[key])
    assert not list((tmp_path / "tiny").glob("tuned.yaml.*"))


def test_what_is_measured_at_the_end_alone_prunes_nothing(formula: Any, tmp_path: Path) -> None:
    formula()
    run(tmp_path, 12, objectives=("val_ece",))
    assert set(trials(tmp_path)["state"]) == {"complete"}


def test_the_marks_of_a_cell_are_told_of_its_trial(formula: Any, tmp_path: Path) -> None:
    made = formula()
    run(tmp_path, 1, grid())
    made.marks = ["diverged", "fell back"]
    run(tmp_path, 2, grid())
    assert trials(tmp_path)["health"].tolist() == ["", "diverged; fell back"]


def begun(seed: int = 0) -> studies.Study:
    """A new study of one cell, searched for its loss with this seed."""
    (base,) = planned(cell(recipe=QUICK | {"epochs": EPOCHS}))
    asked = studies.Asked(trials=9, objectives=("val_nll",), seed=seed, cell_seed=1)
    own = space.of(base.cell, digits().info(0))
    return studies.start(optuna.storages.InMemoryStorage(), "tiny", base, own, asked)


def losses(*values: float) -> list[dict[str, float]]:
    """The history of a trial with these losses."""
    return [{"epoch": epoch, "seconds": 1.0, "val_nll": value} for epoch, value in enumerate(values, start=1)]


def test_another_seed_tries_other_values_after_the_grids_own() -> None:
    (own, first), (others, second) = ([study.ask().params for _ in range(2)] for study in (begun(0), begun(1)))
    assert own == others
    assert first.keys() == second.keys()
    assert first != second


def test_the_first_five_trials_do_not_depend_on_what_they_come_to_and_the_sixth_does() -> None:
    found = []
    for sign in (1, -1):
        study, tried = begun(seed=1), list[float]()
        for number in range(6):
            trial = study.ask()
            tried.append(trial.params["recipe.lr"])
            study.tell(trial, studies.Ending({"val_nll": sign * number}))
        found.append(tried)
    assert found[0][:5] == found[1][:5]
    assert found[0][5] != found[1][5]


def test_the_fourth_trial_is_not_pruned_and_the_fifth_is() -> None:
    study, reasons = begun(), list[str | None]()
    for value in (0.5, 0.5, 0.5, 0.9, 0.9):
        trial, rows = study.ask(), losses(*[value] * EPOCHS)
        reasons.append(study.report(trial, rows[:-1], EPOCHS))
        study.tell(trial, studies.Ending({"val_nll": value}), rows)
    assert [reason is not None for reason in reasons] == [False, False, False, False, True]


def test_a_trial_has_the_seconds_of_all_its_epochs() -> None:
    study = begun()
    rows = [row | {"seconds": seconds} for row, seconds in zip(losses(0.9, 0.8, 0.7), (1.0, 2.5, 4.0), strict=True)]
    study.tell(study.ask(), studies.Ending({"val_nll": 0.7}), rows)
    (told,) = study.of_state(optuna.trial.TrialState.COMPLETE)
    assert told.user_attrs["seconds"] == 7.5


def test_of_equals_in_the_first_objective_the_next_one_chooses() -> None:
    (base,) = planned(cell(recipe=QUICK | {"epochs": EPOCHS}))
    asked = studies.Asked(trials=9, objectives=("val_top1", "val_ece"), seed=0, cell_seed=1)
    own = space.of(base.cell, digits().info(0))
    study = studies.start(optuna.storages.InMemoryStorage(), "tiny", base, own, asked)
    for accuracy, error in ((0.9, 0.3), (0.8, 0.1), (0.9, 0.2), (0.9, 0.2)):
        study.tell(study.ask(), studies.Ending({"val_top1": accuracy, "val_ece": error}))
    best = study.best()
    assert best is not None
    assert best.number == 2


def test_a_trial_that_is_behind_is_pruned_but_not_at_its_last_epoch() -> None:
    study = begun()
    for number in range(5):
        assert study.wants == 9 - number
        trial = study.ask()
        assert study.wants == 8 - number
        rows = losses(*[0.5] * EPOCHS)
        assert study.report(trial, rows, EPOCHS) is None
        assert study.tell(trial, studies.Ending({"val_nll": 0.5}), rows)
        assert not study.tell(trial, studies.Ending({"val_nll": 0.5}), rows)
    behind, late = study.ask(), study.ask()
    assert study.report(behind, losses(0.9), EPOCHS) is None
    # By then its best epoch is worse than the median of the others.
    reason = study.report(behind, losses(0.9, 0.8, 0.7), EPOCHS)
    assert reason == "val_nll 0.7000 after epoch 3 is behind the median of the other trials"
    assert study.report(late, losses(*[0.9] * EPOCHS), EPOCHS) is None
    assert study.tell(late, studies.Ending({"val_nll": 0.9}), losses(*[0.9] * EPOCHS))
    assert (study.ended, study.wants) == (6, 2)
    best = study.best()
    assert best is not None
    assert best.number == 0


def test_nothing_is_pruned_in_the_first_epochs_nor_at_the_last(formula: Any, tmp_path: Path) -> None:
    formula()
    run(tmp_path, 12)
    for study in searches.studies(tmp_path, "tiny"):
        for trial in study.get_trials(states=(optuna.trial.TrialState.PRUNED,)):
            assert studies.PATIENCE * EPOCHS <= max(trial.intermediate_values) < EPOCHS
            assert trial.user_attrs["error"].startswith("val_top1 0.")
        for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)):
            assert list(trial.intermediate_values) == list(range(1, EPOCHS + 1))


def test_several_objectives_are_searched_without_pruning_also_cells_that_another_search_has_pruned(
    formula: Any, tmp_path: Path
) -> None:
    formula()
    run(tmp_path, 12)
    contents = grid(axes={"head": ["psc", "ldam"]}, recipe=QUICK | {"epochs": EPOCHS}) | {"name": "two"}
    run(tmp_path, 12, contents, objectives=("val_nll", "val_ece"))
    found = trials(tmp_path, name="two")
    assert set(found["state"]) == {"complete"}
    assert found[["val_nll", "val_ece"]].notna().all(axis=None)
    written = tuned.read(tmp_path / "two" / "tuned.yaml")
    for own in written.studies:
        assert own.values["val_nll"] == found.loc[found["study"] == own.study, "val_nll"].min()


def test_time_that_is_up_leaves_the_rest_for_later(
    formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def tick(one: Planned, epoch: int) -> None:
        now[0] += 1

    monkeypatch.setattr("headbench.runners.search.driver.time.monotonic", lambda: now[0])
    monkeypatch.setattr("headbench.runners.search.search.time.monotonic", lambda: now[0])
    cut = formula(before=tick)
    assert not run(tmp_path, 4, timeout=12.5).in_time
    assert len(cut.trained) == 13
    now[0] = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(Display, "finished", lambda *_: now.__setitem__(0, 100.0))
        assert not run(tmp_path, 4, timeout=50.0).in_time
    assert len(cut.trained) == 21
    assert sorted(trials(tmp_path)["state"]) == ["complete", "complete", "running"]
    assert run(tmp_path, 4).complete
    formula(tmp_path / "whole")
    run(tmp_path / "whole", 4)
    same(trials(tmp_path), trials(tmp_path / "whole"))


def test_what_another_process_trains_is_waited_for_as_long_as_there_is_time(formula: Any, tmp_path: Path) -> None:
    def stop(one: Planned, epoch: int) -> None:
        raise KeyboardInterrupt

    formula(before=stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 1)
    made, cells = formula(), [store.cell_folder(tmp_path, cell_id) for cell_id in trials(tmp_path)["cell_id"]]
    with ExitStack() as held:
        for folder in cells:
            held.enter_context(locks.locked(folder, locks.Watch()))
        assert not run(tmp_path, 1, timeout=1.0).in_time
        assert not made.trained
    assert run(tmp_path, 1).complete


def test_a_storage_that_is_lost_blames_no_cell(formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formula()
    run(tmp_path, 1)

    def lost(*_: Any, **__: Any) -> None:
        raise RuntimeError("connection lost")

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "tell", lost)
        with pytest.raises(StoppedError, match="its storage failed .*connection lost.*; the same command goes on"):
            run(tmp_path, 3)
    assert run(tmp_path, 3).complete
    assert set(trials(tmp_path)["state"]) == {"complete"}


@pytest.mark.parametrize("place", ["get_all_study_names", "load_study", "create_study"])
def test_a_storage_that_fails_is_one_line_from_the_start_on(
    place: str, formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any, **__: Any) -> None:
        raise RuntimeError("connection lost")

    made = formula()
    monkeypatch.setattr(optuna, place, lost)
    with pytest.raises(StoppedError, match="its storage failed .*connection lost.*; the same command goes on"):
        run(tmp_path, 1)
    assert bool(made.trained) == (place == "get_all_study_names")


def test_an_error_of_a_heads_own_code_fails_its_trial_alone(
    formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(one: Cell, params: dict[str, Any], known: Any = space.trial_cell) -> Cell:
        if one.head == "ldam":
            raise ZeroDivisionError("by zero")
        changed: Cell = known(one, params)
        return changed

    formula()
    monkeypatch.setattr(space, "trial_cell", refuse)
    assert not run(tmp_path, 2).complete
    found = trials(tmp_path)
    assert found["state"].tolist() == ["complete", "complete", "fail", "fail"]
    assert set(found["error"]) == {"", "ZeroDivisionError: by zero"}


def test_tuned_values_are_of_all_studies_whichever_search_began_them(formula: Any, tmp_path: Path) -> None:
    formula()
    asked = options(tmp_path, 1)
    psc, ldam = (replace(asked, run=replace(asked.run, where=[f"head={head}"])) for head in ("psc", "ldam"))
    begun = list[str]()

    def beside(one: Planned, epoch: int) -> None:
        if not begun:
            begun.append(one.cell_id)
            search.run(ldam, Console(quiet=True))

    formula(before=beside)
    search.run(psc, Console(quiet=True))
    written = tuned.read(tmp_path / "tiny" / "tuned.yaml")
    assert [(own.where["head"], own.trial) for own in written.studies] == [("psc", 0), ("ldam(drw=True)", 0)]


@pytest.mark.parametrize("storage", ["mine.log", "sqlite:///mine.db"])
def test_a_storage_in_this_folder_is_found_from_any_other(
    storage: str, formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, contents = formula(), grid()
    monkeypatch.chdir(tmp_path)
    run(tmp_path, 1, contents, storage=storage)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert len(trials(tmp_path)) == 1
    trained = len(made.trained)
    with pytest.raises(UserError, match="was started with storage .*mine.*, not .*other/mine"):
        run(tmp_path, 1, contents, storage=storage)
    assert len(made.trained) == trained


def test_a_search_whose_storage_was_named_with_a_password_goes_on() -> None:
    """As earlier harnesses named one in the query."""
    url = "postgresql://host/db?password=secret"
    before = {"storage": url, "objectives": ["val_top1"], "seed": 0}
    search._refuse_another("tiny", before, Asked(1, ("val_top1",), 0, 1), url)
    with pytest.raises(UserError, match=r"was started with storage postgresql://host/db\?password=\*\*\*, not journal"):
        search._refuse_another("tiny", before, Asked(1, ("val_top1",), 0, 1), None)


def test_studies_that_the_storage_has_lost_are_told_of(
    formula: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formula()
    run(tmp_path, 1, grid())
    (tmp_path / "tiny" / "search" / "journal.log").unlink()
    with pytest.raises(UserError, match="none of the studies of grid 'tiny' is in its storage, journal"):
        trials(tmp_path)
    run(tmp_path, 1, grid())
    assert "the search of grid 'tiny' begins anew: none of its studies is in journal" in capsys.readouterr().err


@pytest.mark.parametrize("told", [0, 1, 2])
def test_a_study_whose_beginning_was_cut_off_has_no_trial_yet_and_is_begun_by_the_next_run(
    told: int, formula: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    formula()
    asked, tell, left = options(tmp_path, 1), optuna.Study.set_user_attr, told
    search.run(replace(asked, run=replace(asked.run, where=["head=psc"])), Console(quiet=True))

    def killed(study: optuna.Study, name: str, value: Any) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        tell(study, name, value)

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, "set_user_attr", killed)
        with pytest.raises(KeyboardInterrupt):
            search.run(asked, Console(quiet=True))
    assert trials(tmp_path)["head_label"].tolist() == ["psc"]
    search.run(asked, Console(quiet=True))
    assert trials(tmp_path)["trial"].tolist() == [0, 0]


@pytest.mark.parametrize("number", [0, 1, studies.RANDOM + 1])
def test_a_trial_that_was_cut_off_between_two_values_has_the_same_ones(number: int) -> None:
    (base,) = planned(cell("ldam"))
    own = space.of(base.cell, digits().info(0))
    found = []
    for cut in (False, True):
        asked = studies.Asked(trials=9, objectives=("val_top1",), seed=0, cell_seed=1)
        study = studies.start(optuna.storages.InMemoryStorage(), "tiny", base, own, asked)
        for place in range(number):
            study.tell(study.ask(), studies.Ending({"val_top1": 0.1 * place}))
        if cut:
            study.kept.sampler = study._sampler(number)
            study.kept.ask(dict([next(iter(own.distributions.items()))]))
            (left,) = study.of_state(optuna.trial.TrialState.RUNNING)
            found.append(study.again(left).params)
        else:
            found.append(study.ask().params)
    assert len(found[0]) > 1
    assert found[0] == found[1]


def test_a_study_of_an_earlier_state_of_the_grid_gives_its_place_away(formula: Any, tmp_path: Path) -> None:
    formula()
    run(tmp_path, 1, grid())
    file = tmp_path / "tiny" / "search" / "search.yaml"
    written = file.read_text()
    (own,) = trials(tmp_path)["study"]
    file.write_text(written.replace(own[-8:], "0" * 8))
    run(tmp_path, 1, grid())
    assert file.read_text() == written


def test_fewer_trials_than_are_there_train_nothing(formula: Any, tmp_path: Path) -> None:
    def stop(one: Planned, epoch: int) -> None:
        if len(cut.trained) == 20:
            raise KeyboardInterrupt

    cut = formula(before=stop)
    contents = grid(recipe=QUICK | {"epochs": EPOCHS})
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 4, contents)
    assert len(trials(tmp_path)) == 3
    made = formula()
    assert run(tmp_path, 2, contents).complete
    assert not made.trained


def test_half_a_last_line_of_the_journal_is_cut_off(formula: Any, tmp_path: Path) -> None:
    formula()
    run(tmp_path, 2)
    before = trials(tmp_path)
    with (tmp_path / "tiny" / "search" / "journal.log").open("a") as file:
        file.write('{"op_code":4,"worker')
    same(trials(tmp_path), before)
    assert run(tmp_path, 3).complete


@pytest.mark.parametrize("content", ["a line\n", "a line\nhalf", "half", '{"some": 1}\n', '[]\n{"op_code":', "{}"])
def test_a_file_that_is_no_journal_is_left_as_it_is(content: str, formula: Any, tmp_path: Path) -> None:
    made, file = formula(), tmp_path / "mine.log"
    file.write_text(content)
    with pytest.raises(UserError, match=r"--storage .*mine.log: the file is no journal of a search"):
        run(tmp_path, 1, storage=str(file))
    assert not made.trained
    assert file.read_text() == content
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


@pytest.mark.parametrize("half", ["", "{", '{"op_co', '{"op_code":4,"worker'])
def test_half_a_first_line_of_a_journal_is_cut_off(half: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.log"
    file.write_text(half)
    assert not optuna.get_all_study_names(searches.open_storage(str(file), tmp_path))
    assert not file.read_text()


def test_cells_of_which_none_applies_are_one_clear_line(formula: Any, tmp_path: Path) -> None:
    made, asked = formula(), options(tmp_path, 2, grid(axes={"head": ["psc", "etf"]}))
    with pytest.raises(UserError, match="grid 'tiny': no head applies: a simplex ETF of 10 classes needs d >= 9"):
        search.run(replace(asked, run=replace(asked.run, where=["head=etf"])), Console(quiet=True))
    assert not made.trained
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_heads_that_do_not_apply_are_named_and_need_no_trials(formula: Any, tmp_path: Path) -> None:
    formula()
    contents = grid(axes={"head": ["psc", "etf"]})
    assert run(tmp_path, 2, contents).complete
    found = searches.read(tmp_path, "tiny")
    assert found is not None
    assert [(cell["head"], cell["not_applicable"]) for cell in found["not_applicable"]] == [
        ("etf", "a simplex ETF of 10 classes needs d >= 9")
    ]
    assert [study["head"] for study in found["studies"]] == ["psc"]


WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"trials": 0}, {}, "--trials: 0 is not at least 1"),
    ({"trials": 2.5}, {}, "--trials: 2.5 is not a whole number"),
    ({"trials": True}, {}, "--trials: True is not a whole number"),
    ({"seed": -1}, {}, "--seed: -1 is not at least 0"),
    ({"seed": 2**32}, {}, "--seed: 4294967296 is not below 4294967296"),
    ({"seed": "1"}, {}, "--seed: '1' is not a whole number"),
    ({"timeout": 0.0}, {}, "--timeout: 0 is not above 0 seconds"),
    ({"timeout": math.nan}, {}, "--timeout: nan is not above 0 seconds"),
    ({"objectives": ("val_top",)}, {}, "--objective: unknown 'val_top'; did you mean 'val_top1'"),
    ({"objectives": ("val_nll", "val_nll")}, {}, "--objective: one is given twice"),
    ({"storage": "search"}, {}, "--storage search: neither a URL nor the name of a journal file; give a database"),
    ({"storage": "no/such/search.log"}, {}, "--storage .*search.log: there is no folder .*no/such; give a database"),
    ({"storage": "sqlite://"}, {}, "--storage sqlite://: a database in memory is lost with this process; give"),
    ({"storage": "sqlite:///:memory:"}, {}, "--storage sqlite:///.*memory.*: a database in memory is lost"),
    ({"storage": "sqlite://search.db"}, {}, "--storage sqlite://search.db: Invalid SQLite URL"),
    ({"storage": "sqlite:////no/such/folder/s.db"}, {}, "--storage sqlite:.*unable to open database file"),
    ({"storage": "nosql://me:secret@host/db"}, {}, r"--storage nosql://me:\*\*\*@host/db: .*nosql"),
    ({"storage": "postgresql://me:secret@127.0.0.1:1/db"}, {}, r"--storage postgresql://me:\*\*\*@127.0.0.1:1/db: "),
    ({}, {"val_fraction": 0}, "digits has no validation part here .*--set val_fraction=0.1 holds one out"),
    ({}, {"axes": {"seed": [2_000_000_000]}}, "seed 2000000000 of the grid is that of the search"),
    ({}, {"axes": {"head": ["etf"]}}, "no head applies: a simplex ETF of 10 classes needs d >= 9"),
    ({}, {"recipe": QUICK | {"lr": 3.0}}, "it begins with recipe.lr = 3.0, which is not in its own"),
    ({}, {"recipe": QUICK | {"search": {}}}, "0 parameters .none., and a search has one to 5"),
]


@pytest.mark.parametrize(("asked", "changes", "message"), WRONG)
def test_a_wrong_wish_is_one_clear_line_before_anything_is_trained(
    asked: dict[str, Any], changes: dict[str, Any], message: str, formula: Any, tmp_path: Path
) -> None:
    made, asked = formula(), dict(asked)
    with pytest.raises(UserError, match=message) as raised:
        run(tmp_path, asked.pop("trials", 2), grid(**changes), **asked)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not made.trained
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("asked", "changes", "message"),
    [
        (
            {},
            {"recipe": QUICK | {"search": {"lr": {"low": 0.01, "high": 1}}}},
            "it was started with recipe.lr .*low.*0.02",
        ),
        ({"seed": 1}, {}, "the search of grid 'tiny' was started with seed 0, not 1; go on with that, or give another"),
        ({"objectives": ("val_nll",)}, {}, "was started with objectives val_top1, not val_nll; go on with that"),
        ({"storage": "other.log"}, {}, r"was started with storage journal, not /.*other\.log; .* a --name"),
    ],
)
def test_a_search_that_has_changed_since_it_was_started_is_refused(
    asked: dict[str, Any], changes: dict[str, Any], message: str, formula: Any, tmp_path: Path
) -> None:
    formula()
    run(tmp_path, 1, grid())
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message):
        run(tmp_path, 2, grid(**changes), **asked)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_heads_of_unequal_budgets_are_refused_by_name(tmp_path: Path) -> None:
    heads, file = [cell("psc"), cell("hpn")], tmp_path / "tuned.yaml"

    def write(*trials: int) -> None:
        found = [
            {"study": str(n), "where": tuned.where(one), "trials": n, "trial": 1, "set": {"recipe.lr": 0.07}}
            for one, n in zip(heads, trials, strict=True)
        ]
        store.write_yaml(file, {"grid": "tiny", "objectives": ["val_top1"], "cell_seed": 9, "studies": found})

    write(5, 5)
    tuned.check(tuned.apply(heads, tuned.read(file), file), file)
    write(3, 5)
    line = r"not every head had the same number of trials: hpn 5, psc 3; go on with bench\.py tune --trials 5"
    with pytest.raises(UserError, match=line):
        tuned.check(tuned.apply(heads, tuned.read(file), file), file)
