"""Finished cells for other tools, read back with their own readers."""

import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headbench.results import store
from headbench.results.export import runs, weights_and_biases
from headbench.runners.commands.main import main
from tests.results import helpers

# A label that is no name of a folder.
LABEL = "../etf (a=1)"
EPOCHS = {1: 0.7, 2: 0.5}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with two finished cells."""
    folder = tmp_path_factory.mktemp("runs")
    rights = {"psc": 30, LABEL: 36}
    cells = [
        helpers.write_cell(folder, helpers.facts(head, 5, 0), right, cell_id=f"cell-{right}")
        for head, right in rights.items()
    ]
    helpers.write_grid(folder, cells)
    return folder


def words(what: str, out: Path, to: Path) -> list[str]:
    return ["export", what, "--grid", "toy-grid", "--out", str(out), "--to", str(to)]


def test_event_files_say_what_the_cells_say(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    hparams = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    to = tmp_path / "events"
    assert main(words("tensorboard", out, to)) == 0
    assert "2 cells" in capsys.readouterr().out
    folders = sorted(to.iterdir())
    assert len(folders) == 2
    found, _ = runs.of_grid(out, "toy-grid")
    for run in found:
        read = accumulator.EventAccumulator(str(to / run.name)).Reload()
        assert {event.step: pytest.approx(event.value) for event in read.Scalars("epoch/train_loss")} == EPOCHS
        result = store.read_result(store.cell_folder(out, run.cell_id))
        assert result is not None
        for selection, own in result["selections"].items():
            (event,) = read.Scalars(f"{selection}/nll")
            assert (event.step, event.value) == (2, pytest.approx(own["nll"]))
        content = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        told = hparams.HParamsPluginData.FromString(content).session_start_info.hparams
        assert told["head_label"].string_value in {"psc", LABEL}
        assert told["feature_dim"].number_value == 5
    # The same cells give the same bytes.
    files = {file: file.read_bytes() for file in to.rglob("*tfevents*")}
    assert main(words("tensorboard", out, to)) == 0
    assert {file: file.read_bytes() for file in to.rglob("*tfevents*")} == files
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(words("tensorboard", out, to)) == 2
    assert "pip install 'headbench[tensorboard]'" in capsys.readouterr().err


def of_wandb(file: Path) -> Iterator[Any]:
    """Yield the records of an offline run: those of a log of LevelDB, behind a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    content, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""


def test_offline_runs_say_what_the_cells_say(out: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    found, _ = runs.of_grid(out, "toy-grid")
    for _ in range(2):  # the second time nothing is to be done
        weights_and_biases.write(found, tmp_path, "toy-grid")
    files = {file.stem.removeprefix("run-"): file for file in tmp_path.rglob("*.wandb")}
    assert files.keys() == {"cell-30", "cell-36"}
    records = [*of_wandb(files["cell-30"])]
    (told,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (told.project, told.host) == ("toy-grid", "headbench")
    assert {item.key: item.value_json for item in told.config.update}["head_label"] == '"psc"'
    losses = [
        float(item.value_json)
        for record in records
        for item in record.history.item
        if [*item.nested_key] == ["epoch/train_loss"]
    ]
    assert losses == [*EPOCHS.values()]
    final = {item.key or item.nested_key[0]: item.value_json for one in records for item in one.summary.update}
    assert float(final["last/top1"]) == 0.75


def test_tables_have_a_row_per_cell_and_epoch_and_a_damaged_history_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [helpers.write_cell(tmp_path, helpers.facts(head, 5, 0), 30) for head in ("psc", "=etf")]
    helpers.write_grid(tmp_path, cells)
    assert main([*words("csv", tmp_path, tmp_path)[:-2]]) == 0
    folder = tmp_path / "toy-grid" / "csv"
    shown, epochs = (pd.read_csv(folder / file) for file in ("cells.csv", "epochs.csv"))
    assert shown["head_label"].tolist() == ["psc", "'=etf"]
    assert shown["last_top1"].tolist() == [0.75, 0.75]
    assert epochs[["epoch", "train_loss"]].to_numpy().tolist() == [[1, 0.7], [2, 0.5]] * 2
    history = store.cell_folder(tmp_path, cells[0]["cell_id"]) / "history.csv"
    history.write_text("epoch,train_loss\n1,0.1\n")
    capsys.readouterr()
    assert main(words("csv", tmp_path, tmp_path / "again")) == 1
    assert str(history) in capsys.readouterr().out.replace("\n", "")
    assert len(pd.read_csv(tmp_path / "again" / "epochs.csv")) == 2


def test_a_grid_without_a_finished_cell_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helpers.write_grid(tmp_path, [{"cell_id": "none", "not_applicable": "no"} | helpers.facts("psc", 5, 0)])
    assert main(words("csv", tmp_path, tmp_path)) == 2
    assert "no cell of grid 'toy-grid'" in capsys.readouterr().err


def test_a_damaged_cell_is_named_and_a_file_of_others_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs_, to = tmp_path / "runs", tmp_path / "tables"
    cells = [helpers.write_cell(runs_, helpers.facts(head, 5, 0), 30) for head in ("psc", "etf")]
    helpers.write_grid(runs_, cells)
    to.mkdir()
    (to / "cells.csv").write_text("my,own\n1,2\n")
    assert main(words("csv", runs_, to)) == 2
    assert "cells.csv is there already, and has no cell of this grid" in capsys.readouterr().err
    assert (to / "cells.csv").read_text() == "my,own\n1,2\n"
    (to / "cells.csv").rename(to / "epochs.csv")
    assert main(words("csv", runs_, to)) == 2
    assert "epochs.csv is there already" in capsys.readouterr().err
    assert main(words("csv", runs_, tmp_path / "new")) == 0
    (store.cell_folder(runs_, cells[0]["cell_id"]) / "result.json").write_text("")
    assert main(words("csv", runs_, tmp_path / "new")) == 1
    assert "left out: " in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "new" / "cells.csv")) == 1
    # The grid's own folder follows the grid, whatever its cells are.
    own = ["export", "csv", "--grid", "toy-grid", "--out", str(runs_)]
    assert main(own) == 1
    other = helpers.write_cell(runs_, helpers.facts("hpn", 5, 0), 30)
    helpers.write_grid(runs_, [other])
    assert main(own) == 0


def test_a_run_whose_name_has_changed_is_not_shown_twice(out: Path, tmp_path: Path) -> None:
    """A run is named by what the grid's cells differ in, and that changes with each other cell."""
    pytest.importorskip("tensorboard")
    assert main(words("tensorboard", out, tmp_path)) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    for former in ("longer-head=", "older-head="):
        shutil.copytree(tmp_path / names[0], tmp_path / names[0].replace("head=", former))
    (tmp_path / names[0].replace("head=", "older-head=") / "mine.txt").write_text("kept")
    assert main(words("tensorboard", out, tmp_path)) == 0
    assert sorted(path.parent.name for path in tmp_path.rglob("events*")) == names
    assert [path.parent.name for path in tmp_path.rglob("mine.txt")] == [names[0].replace("head=", "older-head=")]
    assert not (tmp_path / names[0].replace("head=", "longer-head=")).exists()


def test_a_run_tells_what_its_training_cost_beside_its_metrics(out: Path) -> None:
    for run in runs.of_grid(out, "toy-grid")[0]:
        assert run.metrics["cost"] == {"train_seconds": 1.0, "images_per_second": 100.0, "peak_memory_mb": 10.0}
