"""What an attempt at a cell can come to, whoever trains it."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from headbench.core.errors import PrunedError, StoppedError
from headbench.results import grid_rows, store
from headbench.runners.devices.helpers import HelperError
from headbench.runners.execution import attempts, plan, queue
from headbench.runners.execution.executors import Executor, InProcess, Processes
from headbench.runners.execution.locks import Watch
from headbench.runners.execution.plan import Planned
from headbench.runners.execution.workers import Job
from headbench.runners.grid import config
from headbench.runners.inspection import status
from headbench.runners.training.hardware import Share
from headbench.runners.training.history import Glimpse
from tests.runners.helpers import CPU, QUICK, cells, grid, planned, way


class Pruning:
    """Remembers what it is told, and prunes the cells of some seeds after their first epoch."""

    def __init__(self, *seeds: int) -> None:
        self.seeds, self.told, self.seen = seeds, list[tuple[str, int]](), set[tuple[int, int]]()

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        if planned.cell.seed in self.seeds:
            raise PrunedError(f"seed {planned.cell.seed} is not worth it")

    def glimpse(self, planned: Planned, seen: Glimpse) -> None:
        self.seen.add((planned.cell.seed, seen.epoch))

    def started(self, planned: Planned) -> None:
        self.told.append(("started", planned.cell.seed))

    def finished(self, planned: Planned, result: dict[str, Any]) -> None:
        self.told.append(("finished", planned.cell.seed))

    def failed(self, planned: Planned, message: str) -> None:
        self.told.append(("failed", planned.cell.seed))

    def pruned(self, planned: Planned, message: str) -> None:
        self.told.append((f"pruned: {message}", planned.cell.seed))

    def stopped(self, planned: Planned, message: str) -> None:
        self.told.append(("stopped", planned.cell.seed))


@pytest.mark.parametrize("processes", [False, True])
def test_who_is_told_of_an_epoch_may_prune_its_cell(processes: bool, tmp_path: Path) -> None:
    # A process hears of it an epoch or so later.
    epochs = 30 if processes else 6
    changes: dict[str, Any] = {"axes": {"seed": [0, 1]}, "recipe": QUICK | {"epochs": epochs, "batch_size": 1000}}
    todo = planned(*cells(**changes))
    job = Job((), Path(), tmp_path, Share("cpu", 1, "fp32"), keep_weights=False, wait=True)
    executor: Executor = Processes(job) if processes else InProcess(job, CPU)
    events = Pruning(1)
    executor.run(todo, events)
    assert events.told == [
        ("started", 0),
        ("finished", 0),
        ("started", 1),
        ("pruned: seed 1 is not worth it", 1),
    ]
    assert {(0, epoch + 1) for epoch in range(epochs)} < events.seen
    folder = store.cell_folder(tmp_path, todo[1].cell_id)
    assert (folder / "pruned.txt").read_text() == "seed 1 is not worth it\n"
    assert not {"error.txt", "result.json", "attempts.json", "lock.json"} & {path.name for path in folder.iterdir()}
    lived = len(pd.read_csv(folder / "history.csv"))
    assert 1 <= lived < epochs if processes else lived == 1
    assert status.state_of(folder, Watch()) == ("pruned", "seed 1 is not worth it")
    parsed = config.parse_grid(grid(**changes), "grid tiny")
    entries = plan.listed(todo, [p.cell for p in todo], [])
    store.write_plan(store.grid_folder(tmp_path, "tiny"), plan.resolved(parsed, entries))
    rows = grid_rows.load(tmp_path, "tiny").drop_duplicates("cell_id")
    assert rows["status"].tolist() == ["done", "pruned"]
    assert rows["error"].iloc[1] == "seed 1 is not worth it"
    assert queue.pending(todo, tmp_path, retry_failed=False) == []
    assert queue.pending(todo, tmp_path, retry_failed=True) == [todo[1]]
    queue.clear_endings(todo, tmp_path)
    assert queue.pending(todo, tmp_path, retry_failed=False) == [todo[1]]


@pytest.mark.parametrize(
    ("beside", "failures", "expected"),
    [
        (2, 1, ["started 0", "stopped 0", "started 1", "finished 1", "started 0", "finished 0"]),
        (2, 9, ["started 0", "stopped 0", "started 1", "finished 1", "started 0", "failed 0"]),
        (1, 9, ["started 0", "failed 0", "started 1", "finished 1"]),
    ],
)
def test_out_of_memory_beside_other_cells_is_tried_once_more_at_the_end(
    beside: int, failures: int, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [failures]

    def run(one: Planned, *_: Any, **__: Any) -> dict[str, Any]:
        if one.cell.seed == 0 and left[0]:
            left[0] -= 1
            raise torch.cuda.OutOfMemoryError("no room")
        return {}

    monkeypatch.setattr("headbench.runners.execution.cell.run", run)
    todo, events = planned(*cells(axes={"seed": [0, 1]})), Pruning()
    shared = dataclasses.replace(CPU, cells_per_device=beside)
    queue.run(todo, dataclasses.replace(way(tmp_path, events), hardware=shared, apart=None))
    assert [f"{word} {seed}" for word, seed in events.told] == expected
    error = store.cell_folder(tmp_path, todo[0].cell_id) / "error.txt"
    assert error.is_file() == ("failed 0" in expected)


@pytest.mark.parametrize("failures", [1, 9])
def test_out_of_memory_beside_other_cells_is_tried_once_more_without_waiting_for_others(
    failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the tasks of a cluster, of which no other one would try the cell."""
    left = [failures]

    def run(one: Planned, *_: Any, **__: Any) -> dict[str, Any]:
        left[0] -= 1
        if left[0] >= 0:
            raise torch.cuda.OutOfMemoryError("no room")
        return {}

    monkeypatch.setattr("headbench.runners.execution.cell.run", run)
    todo, events = planned(*cells()), Pruning()
    shared = dataclasses.replace(CPU, cells_per_device=2)
    queue.run(todo, dataclasses.replace(way(tmp_path, events), hardware=shared, apart=None, wait=False))
    end = "finished" if failures == 1 else "failed"
    assert [word for word, _ in events.told] == ["started", "stopped", "started", end]
    left, events = [1], Pruning()
    alone = dataclasses.replace(way(tmp_path / "ray", events), hardware=shared, apart=None, wait=False, again=False)
    queue.run(todo, alone)
    assert [word for word, _ in events.told] == ["started", "stopped"]
    assert not (store.cell_folder(tmp_path, todo[0].cell_id) / "attempts.json").exists()


@pytest.mark.parametrize(
    ("batch", "before", "advice"),
    [
        (128, 1, "try --set recipe.accumulate=2"),
        (100, 4, "try --set recipe.accumulate=5"),
        (125, 1, "try --set recipe.accumulate=5"),
        (4, 4, "its parts are one image each; take a smaller network"),
    ],
)
@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("no room"),
        HelperError("on device 1: OutOfMemoryError: no room"),
        HelperError("on device 1: MemoryError"),
    ],
)
def test_out_of_memory_comes_with_a_setting_that_is_taken(
    error: Exception, batch: int, before: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> dict[str, Any]:
        raise error

    monkeypatch.setattr("headbench.runners.execution.cell.run", run)
    recipe = {"base": "fast", "epochs": 1, "batch_size": batch, "accumulate": before}
    (one,) = planned(*cells(recipe=recipe))
    queue.run([one], dataclasses.replace(way(tmp_path, Pruning()), apart=None))
    told = (store.cell_folder(tmp_path, one.cell_id) / "error.txt").read_text().splitlines()[0]
    assert told.startswith("out of memory (")
    assert told.endswith(f"; {advice}")


def test_a_cell_that_is_trained_apart_has_the_room_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = planned(*cells())
    attempts.begin(store.cell_folder(tmp_path, one.cell_id))
    told, own = [], way(tmp_path, Pruning())
    monkeypatch.setattr(own.data, "drop", lambda: told.append("dropped"))

    def apart(planned: Planned) -> None:
        told.append("trained")
        queue.fail(planned, store.cell_folder(tmp_path, planned.cell_id), "it ends", own.events)

    queue.run([one], dataclasses.replace(own, apart=apart))
    assert told == ["dropped", "trained"]


def test_a_kernel_that_fails_ends_the_process_and_blames_no_other_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> dict[str, Any]:
        raise torch.AcceleratorError("an illegal memory access\nwas encountered")

    monkeypatch.setattr("headbench.runners.execution.cell.run", run)
    todo = planned(*cells(axes={"seed": [0, 1]}))
    alone, watched = way(tmp_path / "alone", Pruning()), way(tmp_path / "watched", Pruning())
    with pytest.raises(StoppedError, match=r"an illegal memory access was encountered; this process .* goes on$"):
        queue.run(todo, dataclasses.replace(alone, apart=lambda _: None))
    with pytest.raises(torch.AcceleratorError):
        queue.run(todo, dataclasses.replace(watched, apart=None))
    for out in (alone.out, watched.out):
        assert attempts.deaths(store.cell_folder(out, todo[0].cell_id)) == 1
        assert not list(out.rglob("error.txt"))
    # The others of its team leave the cell to their parent, until this process has ended and that has judged it.
    assert [path.parent.name for path in watched.out.rglob("lock.json")] == [todo[0].cell_id]
    assert not list(alone.out.rglob("lock.json"))


def test_a_folder_that_cannot_be_written_ends_its_cell_alone(tmp_path: Path) -> None:
    """A file stands in its place, or it is another user's."""
    todo = planned(*cells(axes={"seed": [0, 1]}, recipe=QUICK))
    folder = store.cell_folder(tmp_path, todo[0].cell_id)
    folder.parent.mkdir(parents=True)
    folder.write_text("mine")
    events = Pruning()
    queue.run(todo, way(tmp_path, events))
    assert [told for told in events.told if told[0] != "started"] == [("failed", 0), ("finished", 1)]
    assert folder.read_text() == "mine"
