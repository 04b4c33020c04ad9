"""Recorded rows: what is kept and replaced, and that those in the repository are of the current code."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from headbench import results
from headbench.backbones import BACKBONES
from headbench.core.errors import UserError
from headbench.data import DATASETS
from headbench.heads import HEADS
from headbench.results import answers, recorded, store
from headbench.runners.commands.main import main
from tests.results import helpers

# Of an older version these forms, which were its defaults or need none, are number for number those of the present one.
SAME = {("arcface", 1): "gradient=exact", ("word2vec", 1): "vectors="}
FILES = sorted(recorded.FOLDER.glob("*.csv"))


def test_rows_are_added_and_those_of_the_same_experiment_replaced(tmp_path: Path) -> None:
    first, second, folder = tmp_path / "first", tmp_path / "second", tmp_path / "measured"
    helpers.write_grid(
        first, [helpers.write_described(first, "psc", 0, 20, 1), helpers.write_described(first, "etf", 0, 30, 1)]
    )
    helpers.write_grid(
        second, [helpers.write_described(second, "etf", 0, 36, 2), helpers.write_described(second, "etf", 1, 34, 2)]
    )
    file = recorded.record(first, "toy-grid", folder)
    assert file == folder / "toy-grid.csv"
    before = file.read_bytes()
    assert recorded.record(first, "toy-grid", folder).read_bytes() == before
    recorded.record(second, "toy-grid", folder)
    rows = recorded.load(file)
    last = rows[rows["selection"] == "last"].set_index(["head_label", "seed"])
    assert last["top1"].to_dict() == {("etf", 0): 0.9, ("etf", 1): 0.85, ("psc", 0): 0.5}
    assert last["head_version"].to_dict() == {("etf", 0): 2, ("etf", 1): 2, ("psc", 0): 1}
    expected = results.load(second, "toy-grid")
    own = rows[rows["head_label"] == "etf"][expected.columns]
    found, wanted = (frame.sort_values(["cell_id", "selection"]).reset_index(drop=True) for frame in (own, expected))
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)


def test_a_seed_in_two_precisions_that_were_asked_for_is_refused(tmp_path: Path) -> None:
    """With ``--precision fp32`` and ``bf16`` the two cells have ids of their own."""
    cell = helpers.write_described(tmp_path, "psc", 0, 30)
    helpers.write_grid(tmp_path, [cell])
    file = recorded.record(tmp_path, "toy-grid", tmp_path / "measured")
    precision = recorded.load(file)["precision"].iloc[0]
    other = file.read_text().replace(str(cell["cell_id"]), "other").replace(f",{precision},", ",bf16,")
    file.write_text(other)
    line = f"record: psc d=5 seed=0 is in .* in bf16, and would count as another seed in {precision}; .*--name"
    with pytest.raises(UserError, match=line):
        recorded.record(tmp_path, "toy-grid", tmp_path / "measured")
    assert file.read_text() == other


@pytest.mark.parametrize("name", ["recipe_hash", "head_version"])
def test_a_seed_of_another_searches_values_or_version_is_refused(name: str, tmp_path: Path) -> None:
    helpers.write_grid(tmp_path, [helpers.write_described(tmp_path, "psc", 0, 30)])
    file = recorded.record(tmp_path, "toy-grid", tmp_path / "measured")
    pd.read_csv(file, dtype=str).assign(**{name: "456"}).to_csv(file, index=False)
    before = file.read_bytes()
    helpers.write_grid(tmp_path, [helpers.write_described(tmp_path, "psc", 1, 30)])
    line = f"psc d=5 seed=1 was trained with another {name} than seed=0 in .*; remove those rows, or .*--name"
    with pytest.raises(UserError, match=line):
        recorded.record(tmp_path, "toy-grid", tmp_path / "measured")
    assert file.read_bytes() == before


def test_a_cell_that_is_trained_again_in_another_precision_is_one_seed(tmp_path: Path) -> None:
    """``--precision auto`` leaves its id as it is."""
    for number, right in enumerate((20, 30)):
        cell = helpers.write_described(tmp_path / str(number), "psc", 0, right)
        helpers.rewrite(
            store.cell_folder(tmp_path / str(number), cell["cell_id"]),
            {"provenance": helpers.PROVENANCE | {"precision": ("fp32", "bf16")[number]}},
        )
        helpers.write_grid(tmp_path / str(number), [cell])
        file = recorded.record(tmp_path / str(number), "toy-grid", tmp_path / "measured")
    rows = recorded.load(file)
    assert rows[rows["selection"] == "last"][["precision", "top1"]].to_numpy().tolist() == [["bf16", 0.75]]


@pytest.mark.parametrize("damaged", ["toy-grid.csv", "toy-grid.answers.npz", "commands.yaml"])
def test_a_damaged_file_is_named_and_left_as_it_is(
    tmp_path: Path, damaged: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    helpers.write_grid(tmp_path, [helpers.write_described(tmp_path, "psc", 0, 20, 1)])
    folder = tmp_path / "measured"
    recorded.record(tmp_path, "toy-grid", folder)
    monkeypatch.setattr(recorded, "FOLDER", folder)
    (folder / damaged).write_bytes(b"{no, 'sound\xff")
    for words in (["leaderboard", "--to", str(tmp_path / "page")], ["record", "--out", str(tmp_path)]):
        assert main([*words, *(["--grid", "toy-grid"] if words[0] == "record" else [])]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{damaged} cannot be read (" in line
    assert (folder / damaged).read_bytes() == b"{no, 'sound\xff"
    assert not (tmp_path / "page").exists()


def test_a_column_of_an_earlier_harness_is_kept(tmp_path: Path) -> None:
    helpers.write_grid(tmp_path, [helpers.write_described(tmp_path, "psc", 0, 20, 1)])
    file = recorded.record(tmp_path, "toy-grid", tmp_path / "measured")
    recorded.load(file).assign(bygone=0.25).to_csv(file, index=False)
    helpers.write_grid(tmp_path, [helpers.write_described(tmp_path, "etf", 0, 36, 1)])
    rows = recorded.load(recorded.record(tmp_path, "toy-grid", tmp_path / "measured"))
    assert rows.loc[rows["head_label"] == "psc", "bygone"].eq(0.25).all()
    assert rows.columns[-1] == "bygone"


def test_two_that_record_at_once_lose_no_command_and_tell_no_folder_of_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store.write_text

    def slowly(path: Path, text: str) -> None:
        time.sleep(0.2)
        write(path, text)

    def recorded_from(name: str) -> None:
        recorded.record(tmp_path / name, name, tmp_path / "measured")

    for name in ("first", "second"):
        plan: dict[str, Any] = {"name": name, "cells": [helpers.write_described(tmp_path / name, "psc", 0, 20, 1)]}
        found = tmp_path / name / "tuned.yaml"
        found.write_text(f"grid: {name}\n")
        plan["commands"] = [
            ["--grid", name, "--tuned", str(found), "--data", "/home/me/data", "--set", "x=" + 300 * "y "]
        ]
        store.write_plan(store.grid_folder(tmp_path / name, name), plan)
    monkeypatch.setattr(store, "write_text", slowly)
    with ThreadPoolExecutor() as pool:
        list(pool.map(recorded_from, ("first", "second")))
    told = recorded.commands(tmp_path / "measured")
    rest = f"--set 'x={300 * 'y '}'"
    tuned = {name: f"{tmp_path.name}/measured/{name}.yaml" for name in ("first", "second")}
    assert told == {name: [f"python bench.py --grid {name} --tuned {own} {rest}"] for name, own in tuned.items()}
    assert [(tmp_path.parent / own).read_text() for own in tuned.values()] == ["grid: first\n", "grid: second\n"]
    assert all(rest in line for line in (tmp_path / "measured" / recorded.COMMANDS).read_text().splitlines()[1::2])


VERSIONED = {"dataset_version": 1, "backbone_version": 2, "head_version": 1}


def test_values_that_a_search_has_changed_since_are_not_kept_as_those_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan: dict[str, Any] = {"name": "g", "cells": [helpers.write_described(tmp_path, "psc", 0, 20, 1)]}
    plan["cells"][0]["tuned"] = 2
    plan["commands"] = [["--grid", "g", "--tuned", str(tmp_path / "tuned.yaml")]]
    store.write_plan(store.grid_folder(tmp_path, "g"), plan)
    (tmp_path / "tuned.yaml").write_text("studies: [{trials: 6}]\n")
    with pytest.raises(UserError, match="has values after 6 trials, and these cells were trained with those after 2"):
        recorded.record(tmp_path, "g", tmp_path / "measured")
    assert not (tmp_path / "measured" / "g.csv").exists()
    where = {"dataset": "toy", "head": "psc", "feature_dim": plan["cells"][0]["feature_dim"]}
    study = {"trials": 2, "where": where, "set": {"recipe.lr": 0.3}}
    (tmp_path / "tuned.yaml").write_text(yaml.safe_dump({"studies": [study]}))
    monkeypatch.setattr(store, "read_description", lambda _: VERSIONED | {"recipe": {"lr": 0.05}})
    with pytest.raises(UserError, match="has recipe.lr 0.3 for psc, d = .*, and this cell was trained with 0.05"):
        recorded.record(tmp_path, "g", tmp_path / "measured")
    monkeypatch.setattr(store, "read_description", lambda _: VERSIONED | {"recipe": {"lr": 0.3}})
    assert recorded.record(tmp_path, "g", tmp_path / "measured").is_file()
    (tmp_path / "tuned.yaml").write_text("studies: [{trials: 2}]\n")
    assert recorded.record(tmp_path, "g", tmp_path / "measured").is_file()


def test_the_command_says_where_the_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recorded, "FOLDER", tmp_path / "measured")
    helpers.write_grid(tmp_path, [helpers.write_described(tmp_path, "psc", 0, 20, 1)])
    assert main(["record", "--grid", "toy-grid", "--out", str(tmp_path)]) == 0
    assert str(tmp_path / "measured" / "toy-grid.csv") in capsys.readouterr().out.replace("\n", "")
    assert main(["record", "--grid", "other", "--out", str(tmp_path)]) == 2
    helpers.write_grid(tmp_path, [{"cell_id": "to-do", "not_applicable": None} | helpers.facts("psc", 5, 0)], "begun")
    assert main(["record", "--grid", "begun", "--out", str(tmp_path)]) == 2
    assert "no cell of grid 'begun'" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in (tmp_path / "measured").glob("*.csv")] == ["toy-grid.csv"]


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_recorded_rows_are_of_the_current_versions(file: Path) -> None:
    """Where this fails, run the grid again and record it: a head, backbone or data set has changed since.

    Or the row is of a form that has not.
    """
    rows = recorded.load(file)
    assert not rows.duplicated(recorded.EXPERIMENT).any()
    for _, row in rows.iterrows():
        same = SAME.get((row["head"], row["head_version"]))
        assert row["head_version"] == HEADS.get(row["head"]).version or (same and same in row["head_label"]), row[
            "head_label"
        ]
        assert row["backbone_version"] == BACKBONES.get(row["backbone_name"]).version
        assert row["dataset_version"] == DATASETS.get(row["dataset_name"]).version


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_recorded_errors_of_calibration_are_named_for_what_they_are(file: Path) -> None:
    """A row without a floor is of before it was debiased: its plain error stands under its own name."""
    rows = recorded.load(file)
    plain = rows[rows["ece_floor"].isna()]
    assert plain[["ece_raw", "ece_native", "ece_temperature"]].isna().all(axis=None)
    assert rows["ece_native_plugin"].notna().all()


def test_the_kept_answers_are_of_the_last_epoch_of_the_newest_training(tmp_path: Path) -> None:
    """After the best epoch on test none of the 40 images is right, after the last one the first 20, later 30."""
    for right in (20, 30):
        out = tmp_path / str(right)
        cell = helpers.write_described(out, "psc", 0, right)
        folder = store.cell_folder(out, cell["cell_id"])
        selections = (store.read_result(folder) or {})["selections"]
        selections["best_test"] |= answers.pack(answers.Answer(np.zeros(40, dtype=bool), None))
        helpers.rewrite(folder, {"selections": selections})
        helpers.write_grid(out, [cell])
        file = recorded.record(out, "toy-grid", tmp_path / "measured")
        kept = recorded.answers(file, recorded.load(file)).of(cell["cell_id"], "last")
        assert kept is not None
        assert np.flatnonzero(kept.right).tolist() == [*range(right)]


def test_values_of_a_search_are_checked_by_each_heads_own_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = {"psc": 0.3, "etf": 0.1}
    cells = [helpers.write_described(tmp_path, head, 0, 20) | {"tuned": 2} for head in trained]
    plan = {"name": "g", "cells": cells, "commands": [["--grid", "g", "--tuned", str(tmp_path / "tuned.yaml")]]}
    store.write_plan(store.grid_folder(tmp_path, "g"), plan)

    def write_values(rates: dict[str, float]) -> None:
        studies = [
            {"trials": 2, "where": {"dataset": "toy", "head": head}, "set": {"recipe.lr": rate}}
            for head, rate in rates.items()
        ]
        (tmp_path / "tuned.yaml").write_text(yaml.safe_dump({"studies": studies}))

    def described(folder: Path) -> dict[str, Any]:
        return VERSIONED | {"recipe": {"lr": trained[folder.name.partition("-")[0]]}}

    monkeypatch.setattr(store, "read_description", described)
    write_values(trained | {"etf": 0.2})
    with pytest.raises(UserError, match="has recipe.lr 0.2 for etf, d = .*, and this cell was trained with 0.1"):
        recorded.record(tmp_path, "g", tmp_path / "measured")
    write_values(trained)
    for _ in range(2):
        recorded.record(tmp_path, "g", tmp_path / "measured")
    (told,) = recorded.commands(tmp_path / "measured")["g"]
    assert told.startswith("python bench.py --grid g --tuned ")
