"""A grid holds cells of one precision, and cells of an older source of a head are named."""

import argparse
import dataclasses
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from headbench.core.errors import UserError
from headbench.heads import HEADS
from headbench.results import store
from headbench.runners.commands import status
from headbench.runners.execution import launch
from headbench.runners.execution.options import RunOptions
from headbench.runners.training import hardware
from tests.runners.helpers import grid


def prepare(tmp_path: Path, **changes: Any) -> launch.Launch:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(grid(axes={"seed": [0, 1]})))
    usual = RunOptions(str(file), data=tmp_path, out=tmp_path / "runs", device="cpu", workers=1, threads=1)
    return launch.prepare(dataclasses.replace(usual, **changes))


def test_a_grid_goes_on_in_the_precision_of_its_finished_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda _: False)
    launch.execute(prepare(tmp_path, where=["seed=0"]), Console(file=StringIO()))
    assert len(prepare(tmp_path).todo) == 1
    monkeypatch.setattr(hardware, "has_bf16", lambda _: True)
    with pytest.raises(
        UserError,
        match=r"was trained in fp32, and --precision auto is bf16 on this machine.*--precision bf16.*'tiny\+bf16'",
    ):
        prepare(tmp_path)
    assert prepare(tmp_path, where=["seed=0"]).todo == []
    assert len(prepare(tmp_path, precision="bf16").todo) == 2


@pytest.mark.parametrize("changes", [[], ["recipe.epochs=3"]])
def test_a_misspelt_without_is_refused_whatever_is_set(changes: list[str], tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(grid(axes={"head": ["psc", "hpn"]}, without=[{"haed": "hpn"}])))
    with pytest.raises(UserError, match=r"without: unknown key 'haed'; did you mean 'head'"):
        launch.asked(RunOptions(str(file), changes=changes))


def test_bfloat16_where_it_is_emulated_is_said_to_be_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda _: False)
    printed = StringIO()
    asked = prepare(tmp_path, precision="bf16", where=["seed=0"])
    launch.execute(asked, Console(file=printed, width=500))
    assert "1 cells to train on cpu, threads: 1, bf16 (emulated here and slow; fp32 is faster)\n" in printed.getvalue()


def test_a_plan_that_is_there_already_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch.write_plan(prepare(tmp_path))
    monkeypatch.setattr(launch, "alone", lambda _: pytest.fail("it is written again"))
    launch.write_plan(prepare(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="written again"):
        launch.write_plan(prepare(tmp_path, where=["seed=0"]))  # another command


def test_a_damaged_plan_is_kept_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch.write_plan(prepare(tmp_path))
    path = tmp_path / "runs" / "tiny" / "grid.yaml"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"digits", b"digit5", 1))
    launch.write_plan(prepare(tmp_path))
    assert path.read_bytes() == whole
    assert path.with_name("grid.yaml.damaged-1").read_bytes() != whole
    assert "grid.yaml is damaged and kept as grid.yaml.damaged-1" in capsys.readouterr().err


def test_finished_cells_do_not_leave_a_grid_of_the_same_name_silently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch.write_plan(prepare(tmp_path))
    (cell, *_) = prepare(tmp_path).todo
    folder = store.cell_folder(tmp_path / "runs", cell.cell_id)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    options = {"changes": ["axes.feature_dim=7"], "name": "tiny"}
    launch.write_plan(prepare(tmp_path, **options))
    assert "grid 'tiny' was another one before: 1 finished cell is in its tables no longer" in capsys.readouterr().err
    launch.write_plan(prepare(tmp_path, **options))
    assert capsys.readouterr().err == ""


def test_what_fails_elsewhere_before_the_first_cell_begins_is_not_forgotten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = prepare(tmp_path)
    folders = [store.cell_folder(tmp_path / "runs", planned.cell_id) for planned in asked.todo]
    for folder in folders:
        store.write_ending(folder, "failed", "no luck elsewhere")
    launch.execute(asked, Console(file=StringIO()))
    assert [store.read_ending(folder) for folder in folders] == [("failed", "no luck elsewhere")] * 2
    later = prepare(tmp_path)
    assert later.todo == []
    launch.execute(later, Console(file=StringIO()))
    assert capsys.readouterr().err.splitlines() == [
        "note: 2 cells failed or pruned before, and not tried again; --retry-failed does (bench.py status says why)"
    ]
    again = prepare(tmp_path, retry_failed=True)
    assert [p.cell_id for p in again.again] == [p.cell_id for p in asked.todo]
    assert again.untried == 0


def test_a_source_that_moved_without_its_version_is_named_before_training_and_its_cells_by_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = StringIO()
    first = prepare(tmp_path, where=["seed=0"])
    launch.execute(first, Console(file=StringIO()))
    assert len(prepare(tmp_path).todo) == 1
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(HEADS.get("psc").__dict__, "source", "0123456789abcdef")
    later = prepare(tmp_path)
    assert len(later.todo) == 1, "the cell counts as done"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "note: the source of head 'psc' has changed since 1 finished cells of this grid were trained"
    )
    assert not prepare(tmp_path, where=["seed=0"]).todo
    assert capsys.readouterr().err.splitlines() == [line], "also where nothing is trained"
    asked = argparse.Namespace(grid=str(tmp_path / "tiny.yaml"), out=tmp_path / "runs", json=False)
    assert status.run(asked, Console(file=printed, width=200)) == 0
    assert f"{first.todo[0].cell_id}" in printed.getvalue()
    assert "trained by another source of its head" in printed.getvalue()
    assert later.todo[0].cell_id not in printed.getvalue().split("done")[0]


def test_parts_of_a_grid_that_are_launched_at_the_same_time_are_all_listed(tmp_path: Path) -> None:
    """Each of them was prepared before the other had written what it planned."""
    first, second = (prepare(tmp_path, where=[f"seed={seed}"]) for seed in (0, 1))
    for each in (second, first):
        launch.execute(each, Console(file=StringIO()))
    listed = store.read_plan(store.grid_folder(tmp_path / "runs", "tiny"))["cells"]
    assert [(cell["seed"], cell["cell_id"]) for cell in listed] == [
        (number, each.todo[0].cell_id) for number, each in enumerate((first, second))
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_needed_after_a_training_is_asked_for_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setitem(sys.modules, "relplot", None)
    with pytest.raises(UserError, match=r"nothing is trained.*relplot"):
        launch.execute(prepare(tmp_path, workers=workers), Console(file=StringIO()))
    assert not list((tmp_path / "runs").glob("cells/*"))


def test_all_workers_have_the_precision_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards of one machine may differ."""
    for bf16, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(hardware, "has_bf16", lambda _, bf16=bf16: bf16)
        assert prepare(tmp_path).job.share.precision == precision
