"""A cell's files, the schedule, and what is skipped."""

import math
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from rich.console import Console

from headbench.core.errors import UserError
from headbench.heads import HEADS, Context, Stage
from headbench.heads.psc import PSCHead
from headbench.results import store
from headbench.results.numbers import metrics
from headbench.runners.execution import cell as cells
from headbench.runners.execution import locks, queue
from headbench.runners.execution.owner import this_process
from headbench.runners.execution.progress import Display
from headbench.runners.inspection import status
from headbench.runners.training.checkpoint import Checkpoints
from headbench.runners.training.loop.contract import numbers
from headbench.runners.training.loop.record import Record
from headbench.runners.training.train import Training
from tests.heads.helpers import slow_linear
from tests.runners.helpers import CPU, QUICK, cell, digits, planned, train, way

RUN = Training.run


def run(plan: list[Any], out: Path) -> str:
    """Train what is missing; return what was printed."""
    printed = StringIO()
    todo = queue.pending(plan, out, retry_failed=False)
    with Display(Console(file=printed, width=200), len(todo), len(plan) - len(todo)) as display:
        queue.run(todo, way(out, display))
    return printed.getvalue()


@pytest.mark.parametrize("head", ["dl2pa", "throwaway"])
def test_the_files_of_a_cell(head: str, tmp_path: Path) -> None:
    (one,) = planned(cell(head))
    result = cells.run(one, digits(), tmp_path, CPU, lambda _: None, keep_weights=True)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"cell.yaml", "history.csv", "predictions.npz", "geometry.npz", "weights.pt", "result.json"}
    assert yaml.safe_load((tmp_path / "cell.yaml").read_text()) == one.cell.model_dump(mode="json")
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    stored = store.read_result(tmp_path)
    assert stored is not None
    assert stored["selections"].keys() == {"last", "best_val", "best_test"}
    assert stored["selections"]["last"]["top1"] == pytest.approx(history["test_top1"].iloc[-1])
    assert stored["selections"]["best_test"]["top1"] == pytest.approx(history["test_top1"].max())
    assert stored["selections"]["last"]["val_top1"] == pytest.approx(history["val_top1"].iloc[-1])
    assert stored["selections"]["best_val"]["val_top1"] == pytest.approx(history["val_top1"].max())
    assert result["facts"]["n_train"] == 1293
    assert result["health"]["largest_class"] == max(Counter(digits().train.labels.tolist()).values()) / 1293
    assert stored["image_views"] == {"dl2pa": 2, "throwaway": 4}[head] * 1280
    assert stored["train_flops"] > 0


def test_every_metric_is_recomputed_from_the_predictions(tmp_path: Path) -> None:
    (one,) = planned(cell("hpn"))
    wanted = [10, 500, 100, 19, 101, 20, 50, 90, 5, 40]
    data = replace(digits(), nominal=torch.tensor(wanted), ranges=(3, 7))
    result = cells.run(one, data, tmp_path, CPU, lambda _: None, keep_weights=False)
    groups = {
        "many": [1, 4],
        "medium": [2, 5, 6, 7, 9],
        "few": [0, 3, 8],
        "many_range": [1, 4, 2],
        "medium_range": [7, 6, 9, 5],
        "few_range": [3, 0, 8],
    }
    with np.load(tmp_path / "predictions.npz") as stored:
        for selection, row in result["selections"].items():
            val = stored["val_logits" if selection == "last" else f"{selection}_val_logits"]
            test = (stored[f"{selection}_test_logits"], stored["test_labels"])
            again = metrics.evaluate(
                test, (val, stored["val_labels"]), result["native_scale"], np.array(wanted), (3, 7)
            )
            assert {key: row[key] for key in again} == pytest.approx(again, nan_ok=True)
            right = [np.mean(test[0][test[1] == c].argmax(axis=1) == c) for c in range(10)]
            for name, members in groups.items():
                assert row[f"{name}_accuracy"] == pytest.approx(np.mean([right[c] for c in members])), name
        assert stored["test_labels"].tolist() == digits().test.labels.tolist()


def test_geometry_against_a_slow_version(tmp_path: Path) -> None:
    (one,) = planned(cell("psc"))
    cells.run(one, digits(), tmp_path, CPU, lambda _: None, keep_weights=False)
    classifier = train(one.cell, digits(), CPU, lambda _: None).classifier
    from headbench.runners.training import evaluate

    features, labels = evaluate.embed(classifier, digits().train).double().numpy(), digits().train.labels.numpy()
    means = np.stack([features[labels == c].mean(axis=0) for c in range(10)])
    within = sum(np.outer(h - means[y], h - means[y]) for h, y in zip(features, labels, strict=True)) / len(labels)
    between = sum(np.outer(means[y] - features.mean(axis=0), means[y] - features.mean(axis=0)) for y in labels) / len(
        labels
    )
    with np.load(tmp_path / "geometry.npz") as stored:
        assert np.allclose(stored["class_means"], means)
        assert np.allclose(stored["within"], within)
        assert np.allclose(stored["between"], between)
        assert np.allclose(stored["within"] + stored["between"], np.cov(features.T, bias=True))
        assert stored["prototypes"].shape == (10, 5)
        nearest = np.stack([np.square(features - mean).sum(axis=1) for mean in means]).argmin(axis=0)
        predicted = slow_linear(classifier.head, torch.from_numpy(features)).argmax(dim=1).numpy()
        # But for an image that rounding may move.
        assert stored["nearest_mean_agreement"] == pytest.approx(np.mean(nearest == predicted), abs=1e-3)


def test_finished_cells_are_skipped_and_inapplicable_ones_not_run(tmp_path: Path) -> None:
    plan = planned(cell("psc"), cell("etf"))
    assert plan[1].not_applicable == "a simplex ETF of 10 classes needs d >= 9"
    printed = run(plan, tmp_path)
    assert "[1/1] digits psc d=5 seed=0:" in printed
    before = (store.cell_folder(tmp_path, plan[0].cell_id) / "result.json").read_bytes()
    assert run(plan, tmp_path) == ""
    assert (store.cell_folder(tmp_path, plan[0].cell_id) / "result.json").read_bytes() == before


def test_a_failing_cell_is_recorded_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(cell("hpn"), cell("psc"))

    def sometimes(training: Training, *arguments: Any) -> None:
        if training.cell.head == "hpn":
            raise RuntimeError("no\nluck")
        RUN(training, *arguments)

    monkeypatch.setattr(Training, "run", sometimes)
    printed = run(plan, tmp_path)
    assert "[1/2] digits hpn d=5 seed=0: failed: RuntimeError: no luck" in printed
    assert "[2/2] digits psc d=5 seed=0:" in printed
    folder = store.cell_folder(tmp_path, plan[0].cell_id)
    assert (folder / "error.txt").read_text().startswith("RuntimeError: no luck\n\nTraceback")
    assert store.read_ending(folder) == ("failed", "RuntimeError: no luck")
    assert queue.pending(plan, tmp_path, retry_failed=False) == []
    monkeypatch.undo()
    (again,) = queue.pending(plan, tmp_path, retry_failed=True)
    queue.clear_endings([again], tmp_path)
    assert "[1/1] digits hpn d=5 seed=0:" in run(plan, tmp_path)
    assert store.read_ending(store.cell_folder(tmp_path, again.cell_id)) is None


class Finalizing(PSCHead):
    """Counts its calls of ``finalize`` and scales its scores there by what it collects."""

    calls = 0

    def finalize(self, context: Context) -> dict[str, float]:
        type(self).calls += 1
        features, _, _ = context.collect("val", "plain")
        length = features.norm(dim=1).mean()
        with torch.no_grad():
            self.linear.weight /= length
        return {"length": length.item()}


def test_finalize_runs_on_the_weights_of_each_selection(tmp_path: Path) -> None:
    HEADS.register("finalizing", version=1)(Finalizing)
    try:
        (one,) = planned(cell("finalizing"))
        result = cells.run(one, digits(), tmp_path, CPU, lambda _: None, keep_weights=False)
    finally:
        HEADS.unregister("finalizing")
    assert Finalizing.calls == len(result["selections"]) == 3
    stored = store.read_result(tmp_path)
    assert stored is not None
    for name, row in stored["selections"].items():
        assert row["fitted_length"] == result["selections"][name]["fitted_length"] > 0


class Unfinished(PSCHead):
    """Cannot be finished without a validation part, or never on the last epoch."""

    def finalize(self, context: Context) -> dict[str, float]:
        context.collect("val", "plain")
        if not self.linear.weight.isfinite().all():
            raise UserError("the weights are not finite")
        return {}


@pytest.fixture
def unfinished() -> Any:
    HEADS.register("unfinished", version=1)(Unfinished)
    yield
    HEADS.unregister("unfinished")


@pytest.mark.usefixtures("unfinished")
def test_a_head_that_can_be_finished_on_no_selection_fails_and_says_why(tmp_path: Path) -> None:
    printed = run(planned(cell("unfinished", val_fraction=0)), tmp_path)
    assert "failed: UserError: the head cannot be finished on any selection: collect('val', 'plain')" in printed


@pytest.mark.usefixtures("unfinished")
def test_a_row_that_cannot_be_finished_is_absent_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last weights are broken after the training; the other selections stay."""

    def broken(training: Training, *arguments: Any) -> None:
        RUN(training, *arguments)
        last = training.selected["last"]
        training.selected["last"] = type(last)(
            last.row, last.state | {"head.linear.weight": torch.full_like(last.state["head.linear.weight"], torch.inf)}
        )

    monkeypatch.setattr(Training, "run", broken)
    (one,) = planned(cell("unfinished"))
    assert "no last epoch" in run([one], tmp_path)
    result = store.read_result(store.cell_folder(tmp_path, one.cell_id))
    assert result is not None
    assert result["selections"].keys() == {"best_val", "best_test"}
    assert result["absent"] == {"last": "the weights are not finite"}


class Staged(PSCHead):
    """Five epochs in two stages, whatever the recipe says."""

    @classmethod
    def stages(cls, recipe: Any, *_: Any) -> list[Stage]:
        return [Stage("first", 3), Stage("second", 2)]


def test_the_epochs_are_those_of_all_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headbench.runners.execution.progress.QUIET_SECONDS", 0)
    HEADS.register("staged", version=1)(Staged)
    try:
        one, other, plain = planned(cell("staged"), cell("staged", axes={"seed": [1]}), cell("psc"))
        assert one.facts["epochs"] == 5
        printed = run([one], tmp_path)
    finally:
        HEADS.unregister("staged")
    assert "epoch 4/5" in printed
    result = store.read_result(store.cell_folder(tmp_path, one.cell_id))
    assert result is not None
    each = result["train_seconds"] / 5
    assert status.seconds_left(
        [p.facts | {"cell_id": p.cell_id} for p in (one, other, plain)],
        queue.finished([p.cell_id for p in (one, other, plain)], tmp_path),
        [other, plain],
        workers=1,
    ) == pytest.approx(each * (5 + 2))


class Wild(PSCHead):
    """Loses its way after five steps."""

    steps = 0

    def after_step(self) -> None:
        self.steps += 1
        if self.steps == 5:
            with torch.no_grad():
                self.linear.weight *= 20


def test_a_cell_that_diverged_is_marked_and_one_that_learned_is_not(tmp_path: Path) -> None:
    HEADS.register("wild", version=1)(Wild)
    try:
        wild, calm = planned(cell("wild"), cell("psc", recipe=QUICK | {"epochs": 6}))
        printed = run([wild, calm], tmp_path)
    finally:
        HEADS.unregister("wild")
    found = [store.read_result(store.cell_folder(tmp_path, one.cell_id)) for one in (wild, calm)]
    marks = [[] if result is None else result["health"]["marks"] for result in found]
    assert "diverged" in marks[0]
    assert marks[1] == []
    assert "(not learned; diverged)" in printed


@pytest.mark.parametrize("too_much", [lambda: torch.empty(2**50), lambda: np.empty(2**50), None])
def test_running_out_of_memory_names_a_batch_size_to_try(
    too_much: Callable[[], Any] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> Any:
        if too_much is None:
            raise torch.cuda.OutOfMemoryError("tried to allocate")
        too_much()

    monkeypatch.setattr(Training, "run", exhausted)
    said = " ".join(run(planned(cell("psc")), tmp_path).split())
    assert re.search(r"failed: out of memory \(.*\); try --set recipe.accumulate=2", said)


def test_a_result_of_a_newer_schema_is_refused_and_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(cell("psc"))
    monkeypatch.setattr(store, "SCHEMA", 99)
    run(plan, tmp_path)
    monkeypatch.undo()
    file = store.cell_folder(tmp_path, plan[0].cell_id) / "result.json"
    before = file.read_bytes()
    with pytest.raises(
        UserError, match=rf"result.json has schema 99, written by a newer headbench; this one knows {store.SCHEMA}"
    ):
        queue.pending(plan, tmp_path, retry_failed=True)
    assert file.read_bytes() == before


@pytest.mark.parametrize("number", [np.mean([1.0, 2.0]), np.float32(1.5), torch.tensor(1.5)])
def test_numbers_of_any_library_that_a_head_logs_are_kept(number: Any, tmp_path: Path) -> None:
    """In the history and in a checkpoint, which is read as plain data."""

    class Logging(PSCHead):
        def on_epoch_start(self, context: Context) -> dict[str, float]:
            return {"begun": number, "count": 3}

        def on_epoch_end(self, context: Context) -> dict[str, float]:
            return {"ended": number}

        def finalize(self, context: Context) -> dict[str, float]:
            return {"last": number}

    class StoppedError(Exception):
        pass

    def stop(row: dict[str, Any]) -> None:
        if row["epoch"] == 1:
            raise StoppedError

    HEADS.register("logging", version=1)(Logging)
    try:
        (one,) = planned(cell("logging", recipe=QUICK | {"epochs": 2}))
        checkpoints = Checkpoints(tmp_path, one.cell_id, seconds=0)
        with suppress(StoppedError):
            cells.run(one, digits(), tmp_path, CPU, stop, keep_weights=False, checkpoints=checkpoints)
        kept = Checkpoints(tmp_path, one.cell_id).load()
        assert kept is not None
        assert [(row["begun"], row["count"], row["ended"]) for row in kept["history"]] == [(1.5, 3, 1.5)]
        assert b",3," in (tmp_path / "history.csv").read_bytes()
        again = Checkpoints(tmp_path, one.cell_id)
        result = cells.run(one, digits(), tmp_path, CPU, lambda row: None, keep_weights=False, checkpoints=again)
        assert result["selections"]["last"]["fitted_last"] == 1.5
    finally:
        HEADS.unregister("logging")


def test_what_a_head_logs_and_is_no_number_is_one_line() -> None:
    head = HEADS.get("psc").target(digits().info(0), 3)
    for value in (torch.ones(3, 3), "1.5", None):
        with pytest.raises(UserError, match="PSCHead logs no number as 'means': ") as caught:
            numbers({"means": value}, head)
        assert "\n" not in str(caught.value)


def test_the_history_grows_by_a_line_per_epoch(tmp_path: Path) -> None:
    """Also from a checkpoint, over what a killed attempt has left, and with columns that come late.

    The file is that of a cell nobody stopped.
    """

    class Late(PSCHead):
        def on_epoch_end(self, context: Context) -> dict[str, float]:
            return {"late": 1.0} if context.epoch >= 2 else {}

    class StoppedError(Exception):
        pass

    def watch(folder: Path, stop: int | None, seen: list[list[int]]) -> Any:
        def on_epoch(row: dict[str, Any]) -> None:
            seen.append(pd.read_csv(folder / "history.csv")["epoch"].tolist())
            if row["epoch"] == stop:
                raise StoppedError

        return on_epoch

    HEADS.register("late", version=1)(Late)
    try:
        (one,) = planned(cell("late", recipe=QUICK | {"epochs": 5}))
        whole: list[list[int]] = []
        cells.run(one, digits(), tmp_path / "whole", CPU, watch(tmp_path / "whole", None, whole), keep_weights=False)
        pieces: list[list[int]] = []
        for stop in (2, 4, None):
            checkpoints = Checkpoints(tmp_path, one.cell_id, seconds=0 if stop == 2 else 3600)
            with suppress(StoppedError):
                cells.run(
                    one,
                    digits(),
                    tmp_path,
                    CPU,
                    watch(tmp_path, stop, pieces),
                    keep_weights=False,
                    checkpoints=checkpoints,
                )
    finally:
        HEADS.unregister("late")
    assert whole == [list(range(1, epoch + 1)) for epoch in range(1, 6)]
    assert pieces == [list(range(1, epoch + 1)) for epoch in (1, 2, 3, 4, 3, 4, 5)]
    timeless = [
        pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (tmp_path, tmp_path / "whole")
    ]
    pd.testing.assert_frame_equal(timeless[0], timeless[1], check_exact=True)
    assert timeless[0]["late"].isna().tolist() == [True, True, False, False, False]


def test_a_failed_training_keeps_its_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = planned(cell("psc"))
    losses = iter([2.0, math.nan])
    monkeypatch.setattr(Training, "_steps", lambda *_: None)
    monkeypatch.setattr(Record, "row", lambda _: {"train_loss": next(losses), "images": 1, "seconds": 1.0})
    assert "failed: NonFiniteLossError: the training loss is nan in epoch 2" in run([one], tmp_path)
    history = pd.read_csv(store.cell_folder(tmp_path, one.cell_id) / "history.csv")
    assert history["train_loss"].tolist() == [2.0]


@pytest.mark.parametrize("head", ["psc", "dl2pa"])
def test_a_network_that_the_last_step_broke_is_no_result(tmp_path: Path, head: str) -> None:
    """Its only loss was finite, as the step came after it."""
    once = {"epochs": 1, "batch_size": 2000, "drop_last": False, "lr": 1e38, "schedule": {"name": "cosine"}}
    (one,) = planned(cell(head, recipe=QUICK | once))
    assert "failed: NonFiniteScoresError: the trained network gives scores that are NaN or" in run([one], tmp_path)
    assert not (store.cell_folder(tmp_path, one.cell_id) / "result.json").exists()


def test_who_has_lost_its_lock_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither history nor checkpoint, result or error, whether it goes on, fails or is stopped.

    And the cell is left to its new owner.
    """
    (one,) = planned(cell("psc"))
    folder = store.cell_folder(tmp_path, one.cell_id)
    lock = folder / locks.NAME
    winners = {"history.csv": b"its", "attempts.json": b"its", "checkpoint.pt": b"its", "lock.json": b""}

    def lose() -> None:
        other = this_process().model_copy(update={"token": "another"})
        winners["lock.json"] = other.model_dump_json().encode()
        for name, content in winners.items():
            (folder / name).write_bytes(content)

    for end in (None, RuntimeError("no luck"), KeyboardInterrupt()):

        def trained(*arguments: Any, end: BaseException | None = end) -> None:
            RUN(*arguments)
            lose()
            if end:
                raise end

        (folder / "checkpoint.pt").unlink(missing_ok=True)
        monkeypatch.setattr(Training, "run", trained)
        lone = way(tmp_path, Display(Console(file=StringIO()), 1, 0), wait=False)
        with suppress(KeyboardInterrupt):
            queue.run([one], lone)
        assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "cell.yaml"} == winners
        lock.unlink()


def test_who_loses_its_lock_while_it_writes_leaves_no_result(tmp_path: Path) -> None:
    """A machine that was suspended within its last writes, while another one took the cell."""
    (one,) = planned(cell("psc"))

    def lost() -> None:
        if (tmp_path / "geometry.npz").exists():
            raise LostError

    class LostError(Exception):
        pass

    checkpoints = Checkpoints(tmp_path, one.cell_id, check=lost)
    with pytest.raises(LostError):
        cells.run(one, digits(), tmp_path, CPU, lambda _: None, keep_weights=False, checkpoints=checkpoints)
    assert not (tmp_path / "result.json").exists()
