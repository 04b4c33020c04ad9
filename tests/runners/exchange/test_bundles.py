"""Bundles: the same bytes for the same cells, and nothing of a stranger's that is not what it says."""

import errno
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headbench
from headbench.core.errors import DamagedError, UserError
from headbench.data import DATASETS, Dataset
from headbench.results import grid_rows, store
from headbench.results.numbers import metrics
from headbench.runners.commands.main import main
from headbench.runners.exchange import bundles, checking, opening, reference, rescoring
from headbench.runners.execution import cell as cells
from tests.results import helpers
from tests.runners.helpers import CPU, cell, digits, planned

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with three finished cells, one that failed and one that does not apply."""
    folder = tmp_path_factory.mktemp("runs")
    listed = [
        helpers.write_described(folder, head, seed, 30 + seed) for head, seed in (("psc", 0), ("psc", 1), ("etf", 0))
    ]
    listed.append({"cell_id": "failed", "not_applicable": None} | helpers.facts("hpn", 5, 0))
    listed.append({"cell_id": "no", "not_applicable": "no"} | helpers.facts("etf", 2, 0))
    store.write_text(store.cell_folder(folder, "failed") / "error.txt", "no luck\n")
    helpers.write_grid(folder, listed)
    return folder


@pytest.fixture(scope="module")
def bundle(out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("bundle") / "toy.zip"
    bundles.write(out, "toy-grid", file)
    return file


def members(file: Path) -> Members:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(bundle: Path, file: Path, change: Callable[[Members], None], *, signed: bool = True) -> Path:
    """Write a bundle whose members a stranger has changed, with a manifest that agrees unless it is not signed."""
    found = members(bundle)
    change(found)
    if signed:
        manifest = json.loads(found[bundles.MANIFEST])
        rest = {name: content for name, content in found.items() if name != bundles.MANIFEST}
        manifest["files"] = {name: bundles._told(content).model_dump() for name, content in rest.items()}
        found[bundles.MANIFEST] = json.dumps(manifest).encode()
    bundles._write_archive(file, dict(found))
    return file


def test_a_bundle_has_the_same_bytes_again_and_its_cells_are_those_of_the_grid(
    out: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(out, copy)
    words = ["publish", "--grid", "toy-grid", "--out", str(copy), "--to", str(tmp_path / "again.zip")]
    assert main(words) == 0
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()
    assert main(words) == 2
    assert "there already" in capsys.readouterr().err
    assert main(["publish", "--check", str(bundle)]) == 0
    shown = capsys.readouterr().out
    assert "3 cells of toy-grid" in shown
    assert "sound" in shown
    # It is a folder of runs, which merge takes.
    assert main(["merge", str(bundle), "--into", str(tmp_path / "merged")]) == 0
    rows, wanted = (grid_rows.load(folder, "toy-grid") for folder in (tmp_path / "merged", out))
    pd.testing.assert_frame_equal(rows, wanted[wanted["status"] == "done"].reset_index(drop=True), check_dtype=False)


def test_a_bundle_takes_no_cells_and_one_that_is_none_is_named(
    out: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, (none, torn) = bundle.read_bytes(), (tmp_path / "none.zip", tmp_path / "torn.zip")
    torn.write_bytes(before[:-100])
    takes = "a bundle takes no cells; name a folder for them with --into"
    for words, said in (
        ([bundle, out], f"merge: {bundle}: {takes}"),
        ([out, "--into", none], f"merge: {none}: {takes}"),
        ([none, "--into", tmp_path / "new"], f"there is no file {none}"),
        ([torn, "--into", tmp_path / "new"], f"{torn} is no sound bundle ("),
    ):
        assert main(["merge", *map(str, words)]) == 2
        assert capsys.readouterr().err.startswith(f"bench.py: {said}")
    assert bundle.read_bytes() == before
    assert not (tmp_path / "new").exists()


def test_a_damaged_cell_is_named_and_nothing_written(out: Path, tmp_path: Path) -> None:
    copy, file = tmp_path / "copied", tmp_path / "toy.zip"
    shutil.copytree(out, copy)
    (store.cell_folder(copy, "psc-5-1-toy") / "predictions.npz").write_bytes(b"cut off")
    with pytest.raises(DamagedError, match="psc-5-1-toy"):
        bundles.write(copy, "toy-grid", file)
    assert not file.exists()
    assert bundles.write(copy, "toy-grid", file, ["etf"]).cells == ["etf-5-0-toy"]
    with pytest.raises(UserError, match="no cell has head 'eft'; did you mean 'etf'"):
        bundles.write(copy, "toy-grid", tmp_path / "other.zip", ["eft"])
    with pytest.raises(UserError, match="no cell of grid 'toy-grid'.*is done"):
        bundles.write(copy, "toy-grid", tmp_path / "other.zip", ["hpn"])


@pytest.mark.parametrize("name", ["backup", "toy grid (copy)"])
def test_a_folder_that_was_renamed_is_named_and_nothing_written(out: Path, tmp_path: Path, name: str) -> None:
    copy, file = tmp_path / "copied", tmp_path / "toy.zip"
    shutil.copytree(out, copy)
    (copy / "toy-grid").rename(copy / name)
    with pytest.raises(UserError, match=r"is the folder of grid 'toy-grid' under another name; give it its own$"):
        bundles.write(copy, name, file)
    assert not file.exists()


def test_numbers_that_the_predictions_do_not_give_are_named(out: Path, tmp_path: Path) -> None:
    """Whoever changes a cell and all its checksums is found by scoring it again."""
    copy = tmp_path / "copied"
    shutil.copytree(out, copy)
    folder = store.cell_folder(copy, "psc-5-0-toy")
    result = store.read_result(folder)
    assert result is not None
    selections: dict[str, Any] = result["selections"]
    selections["last"] |= {"top1": 0.8, "nc1": selections["last"]["nc1"] + 0.01}
    selections["best_test"]["ece_native"] += 1e-4
    helpers.rewrite(folder, {"selections": selections})
    other = store.cell_folder(copy, "psc-5-1-toy")
    arrays = store.read_predictions(other)
    logits = arrays["last_test_logits"].copy()
    logits[0] = np.roll(logits[0], 1)
    store.write_arrays(other / "predictions.npz", arrays | {"last_test_logits": logits})
    helpers.rewrite(other, {})
    bundles.write(copy, "toy-grid", tmp_path / "toy.zip")
    wrong = checking.check(tmp_path / "toy.zip", None).wrong
    assert {line.split(": ")[0] for line in wrong if "psc-5-0-toy" in line} == {
        f"cell psc-5-0-toy, {what}" for what in ("last top1", "last nc1", "best_test ece_native")
    }
    assert any(line.startswith("cell psc-5-1-toy, last top1") for line in wrong)
    assert any("1 images are told to be right" in line for line in wrong)
    assert not any("etf" in line for line in wrong)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with two cells that were trained on the digits."""
    out = tmp_path_factory.mktemp("trained")
    found = [planned(cell("dl2pa", axes={"seed": [seed]}))[0] for seed in (0, 1)]
    for one in found:
        cells.run(one, digits(), store.cell_folder(out, one.cell_id), CPU, lambda _: None, keep_weights=False)
    helpers.write_grid(out, [{"cell_id": one.cell_id, "not_applicable": None} | one.facts for one in found])
    return out


def forged(
    trained: Path, out: Path, change: Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], None]
) -> list[str]:
    """Change the result, predictions and description of the first of two cells, with all checksums made anew; return
    what is wrong with a bundle of both.
    """
    shutil.copytree(trained, out)
    folder = store.cell_folder(out, store.read_plan(store.grid_folder(out, "toy-grid"))["cells"][0]["cell_id"])
    result, description = store.read_result(folder), store.read_description(folder)
    arrays = store.read_predictions(folder)
    assert result is not None
    change(result, arrays, description)
    store.write_arrays(folder / "predictions.npz", arrays)
    store.write_yaml(folder / "cell.yaml", description)
    helpers.rewrite(folder, {"selections": result["selections"]})
    bundles.write(out, "toy-grid", out / "forged.zip")
    return checking.check(out / "forged.zip", None).wrong


def test_labels_are_compared_also_of_a_cell_that_another_harness_described(trained: Path, tmp_path: Path) -> None:
    def all_right(result: dict[str, Any], arrays: dict[str, Any], description: dict[str, Any]) -> None:
        arrays["test_labels"] = arrays["last_test_logits"].argmax(axis=1)
        for own in result["selections"].values():
            own |= {"top1": 1.0}
        description["of_a_later_harness"] = 1

    assert any(line.startswith("the labels are not those") for line in forged(trained, tmp_path / "a", all_right))
    # What is sound stays so.
    assert forged(trained, tmp_path / "b", lambda _, __, description: description.update(of_a_later_harness=1)) == []


def test_a_data_set_with_options_of_a_later_harness_is_compared_with_nothing() -> None:
    facts = helpers.facts("psc", 5, 0) | {"dataset": "digits", "dataset_name": "digits", "imbalance_factor": 1.0}
    assert checking._truth(facts | {"dataset_options": '{"later": 1}'}, {}, None, {}) is None
    assert checking._truth(facts | {"dataset_options": "{}"}, {}, None, {}) is not None


def test_a_temperature_without_validation_images_is_not_believed(trained: Path, tmp_path: Path) -> None:
    def without(result: dict[str, Any], arrays: dict[str, Any], description: dict[str, Any]) -> None:
        for name in [name for name in arrays if name.endswith(("val_logits", "val_labels"))]:
            del arrays[name]

    def fewer(result: dict[str, Any], arrays: dict[str, Any], description: dict[str, Any]) -> None:
        arrays |= {name: arrays[name][:5] for name in arrays if name.endswith(("val_logits", "val_labels"))}

    lines = forged(trained, tmp_path / "a", without)
    assert any("last temperature" in line and "without scores of validation images" in line for line in lines)
    assert any("last val_top1" in line for line in lines)
    (line,) = forged(trained, tmp_path / "b", fewer)
    assert "has not the scores of" in line


def test_half_precision_excuses_no_small_bundle(trained: Path, tmp_path: Path) -> None:
    def half(result: dict[str, Any], arrays: dict[str, Any], description: dict[str, Any]) -> None:
        arrays |= {name: arrays[name].astype(np.float16) for name in arrays if arrays[name].dtype.kind == "f"}
        result["selections"]["last"]["top1"] += 0.009

    assert any("last top1" in line for line in forged(trained, tmp_path / "a", half))


def test_what_was_measured_on_other_data_sets_is_sound_too(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs"
    shutil.copytree(out, copy)
    path = store.cell_folder(copy, "psc-5-0-toy") / "ood-0123456789abcdef.json"
    path.write_text('{"broken')
    with pytest.raises(DamagedError, match="nothing is written, since .*ood-0123456789abcdef.json is damaged"):
        bundles.write(copy, "toy-grid", tmp_path / "toy.zip")
    assert not (tmp_path / "toy.zip").exists()


def test_of_two_that_publish_at_once_the_second_overwrites_nothing(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, written = tmp_path / "toy.zip", bundles._members

    def meanwhile(*given: Any) -> Any:
        file.write_bytes(b"of another process")
        return written(*given)

    monkeypatch.setattr(bundles, "_members", meanwhile)
    with pytest.raises(UserError, match="is there already, and is not overwritten"):
        bundles.write(out, "toy-grid", file)
    assert file.read_bytes() == b"of another process"
    assert [path.name for path in tmp_path.iterdir()] == ["toy.zip"]


def test_a_full_disk_is_not_a_fault_of_the_bundle(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"), opening.opened(bundle):
        pass


def test_a_bundle_is_sound_where_its_data_set_is_not_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is scored again all the same, and nothing is downloaded; a data set that cannot be read is named."""
    out, file, data = tmp_path / "runs", tmp_path / "digits.zip", tmp_path / "data"
    (one,) = planned(cell("dl2pa"))
    cells.run(one, digits(), store.cell_folder(out, one.cell_id), CPU, lambda _: None, keep_weights=False)
    helpers.write_grid(out, [{"cell_id": one.cell_id, "not_applicable": None} | one.facts])
    bundles.write(out, "toy-grid", file)
    data.mkdir()
    whole = checking.check(file, data)
    assert whole.labels == {"digits": "the data set 'digits'"}
    asked: list[Path] = []

    def read(root: Path) -> Dataset:
        asked.append(root)
        raise UserError("it is not whole, and could not be downloaded")

    about = {"places": "digits/*.gz", "download": "1 MB"}
    monkeypatch.setitem(DATASETS._entries, "digits", replace(DATASETS["digits"], target=read, about=about))
    found = checking.check(file, data)
    assert (found.wrong, found.labels, asked) == ([], {"digits": None}, [])
    assert found.compared > 50
    (data / "digits").mkdir()
    (data / "digits" / "part.gz").touch()
    assert (checking.check(file, data).wrong, asked) == ([], [data])
    assert "note: data set 'digits': it is not whole" in capsys.readouterr().err
    assert main(["publish", "--check", str(file), "--data", str(tmp_path / "dta")]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert f"the data folder {tmp_path / 'dta'} does not exist" in said.err


def rows_changed(found: Members) -> None:
    found["toy-grid/results.csv"] = found["toy-grid/results.csv"].replace(b",0.75,", b",0.85,", 1)


def cell_left_out_of_the_plan(found: Members) -> None:
    lines = found["toy-grid/grid.yaml"].replace(b"seed: 1", b"seed: 2")
    body = lines.rpartition(b"# sha256")[0]
    found["toy-grid/grid.yaml"] = body + f"# sha256 {store._sha256(body)}\n".encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rows_changed, "results.csv is not what the cells say"),
        (lambda found: found.update({"toy-grid/results.csv": b""}), "results.csv is not what the cells say"),
        (lambda found: found.update({"toy-grid/results.csv": b'"'}), "results.csv is not what the cells say"),
        (cell_left_out_of_the_plan, "is not of the grid's cell"),
    ],
)
def test_rows_and_plan_agree_with_the_cells(bundle: Path, tmp_path: Path, change: Any, said: str) -> None:
    wrong = checking.check(rewritten(bundle, tmp_path / "changed.zip", change), None).wrong
    assert any(said in line for line in wrong), wrong


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"head: etf", b"head: hpn", "head"),
        (b"seed: 1", b"seed: 2", "seed"),
        (b"epochs: ", b"epochs: 1", "epochs"),
    ],
)
def test_a_plan_that_tells_other_facts_than_its_cells_is_named(
    old: bytes, new: bytes, said: str, bundle: Path, tmp_path: Path
) -> None:
    """Tables are made of the plan's facts: heads could change places in it."""

    def change(found: Members) -> None:
        text = found["toy-grid/grid.yaml"]
        assert old in text
        body = text.replace(old, new).rpartition(b"# sha256")[0]
        found["toy-grid/grid.yaml"] = body + f"# sha256 {store._sha256(body)}\n".encode()

    wrong = checking.check(rewritten(bundle, tmp_path / "changed.zip", change), None).wrong
    assert any(f"grid.yaml has other {said}" in line for line in wrong), wrong


def test_a_cell_that_is_listed_twice_is_refused(bundle: Path, tmp_path: Path) -> None:
    """It would count as two seeds."""

    def change(found: Members) -> None:
        manifest = json.loads(found[bundles.MANIFEST])
        found[bundles.MANIFEST] = json.dumps(manifest | {"cells": manifest["cells"] * 2}).encode()

    file = rewritten(bundle, tmp_path / "changed.zip", change)
    with pytest.raises(UserError, match=r"manifest.json: cells: a cell is listed more than once"):
        checking.check(file, None)


def put(name: str, content: bytes = b"x") -> Callable[[Members], None]:
    return lambda found: found.update({name: content})


CELL = "cells/psc-5-0-toy"


@pytest.mark.parametrize(
    ("change", "signed", "said"),
    [
        (put("../outside"), True, "climbs out of its folder"),
        (put("/etc/passwd"), True, "climbs out of its folder"),
        (put(f"{CELL}/../../x"), True, "climbs out of its folder"),
        (put(f"{CELL}/run.sh"), True, "no file of a bundle"),
        (put("cells/other/result.json"), True, "no file of a bundle"),
        (put(f"{CELL}/predictions.npz"), False, "not what its manifest says"),
        (put("more"), False, "not those of its manifest"),
        (lambda found: found.pop(f"{CELL}/cell.yaml"), True, "has no 'cells/psc-5-0-toy/cell.yaml'"),
        (put(bundles.MANIFEST, b"{}"), False, "manifest.json: format"),
        (put(bundles.MANIFEST, b"[" * 10**5), False, "no sound bundle"),
        (lambda found: found.pop(bundles.MANIFEST), False, "no manifest.json"),
    ],
)
def test_what_is_no_bundle_is_one_line(bundle: Path, tmp_path: Path, change: Any, signed: bool, said: str) -> None:
    file = rewritten(bundle, tmp_path / "changed.zip", change, signed=signed)
    with pytest.raises(UserError, match=said) as raised, opening.opened(file):
        pass
    assert "\n" not in str(raised.value)
    assert str(file) in str(raised.value)


def test_an_archive_that_unfolds_to_more_than_it_is_is_not_unfolded(bundle: Path, tmp_path: Path) -> None:
    bomb, cut, lying = (tmp_path / name for name in ("bomb.zip", "cut.zip", "lying.zip"))
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(bundles.MANIFEST, b" " * 10**6)
    cut.write_bytes(bundle.read_bytes()[:-100])
    # The directory at the end claims a gigabyte of the first member.
    content, place = bundle.read_bytes(), bundle.read_bytes().rindex(b"PK\x01\x02")
    lying.write_bytes(content[: place + 20] + (10**9).to_bytes(4, "little") * 2 + content[place + 28 :])
    for file, said in ((bomb, "compressed"), (cut, "no sound bundle"), (lying, "claims more bytes")):
        with pytest.raises(UserError, match=said), opening.opened(file):
            pass


@pytest.mark.parametrize("swap", [False, True])
def test_labels_of_imported_cells_are_those_of_the_data_set_too(
    swap: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported where the data set was not at hand, so that nothing was compared there."""
    labels = digits().test.labels.numpy().copy()
    if swap:
        labels[[0, 1]] = labels[[1, 0]]
    with monkeypatch.context() as patch:
        patch.setattr(reference, "at_hand", lambda *_: None)
        headbench.import_scores(np.eye(10)[labels], labels, head="mine", dataset="digits", out=tmp_path, data=tmp_path)
    bundles.write(tmp_path, "imported", tmp_path / "mine.zip")
    found = checking.check(tmp_path / "mine.zip", None)
    assert found.labels == {"digits": "the data set 'digits'"}
    assert [line for line in found.wrong if "2 of 360 differ" in line] == found.wrong
    assert len(found.wrong) == swap


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({}, []),
        # Another plan may have the same cell: of a search whose first trial was best, under another recipe's name, of
        # the same images in another folder, by a harness whose heads have more options.
        ({"tuned": 9, "recipe": "my-fast", "protocol": "x", "augmentation": "crop"}, []),
        ({"dataset": "folder(path=b)", "dataset_options": '{"path": "b", "exif": false, "size": 8}'}, []),
        ({"head_options": '{"scale": 1.0, "new": null}'}, []),
        ({"dataset": "digits"}, ["dataset"]),
        ({"dataset_options": '{"path": "a", "size": 9}'}, ["dataset_options"]),
        ({"head_options": {"scale": 2.0}}, ["head_options"]),
        ({"head_options": ["scale"]}, ["head_options"]),
        ({"head_options": "scale"}, ["head_options"]),
        ({"seed": 1, "head_label": "etf"}, ["head_label", "seed"]),
    ],
)
def test_what_another_plan_may_say_otherwise(told: dict[str, Any], wrong: list[str]) -> None:
    own = {"dataset": "folder(path=a)", "dataset_name": "folder", "dataset_options": '{"path": "a", "size": 8}'}
    facts = helpers.facts("psc", 5, 0) | own | {"head_options": '{"scale": 1.0}'}
    assert checking._unlike(facts | told, facts) == wrong


def test_a_description_of_no_cell_is_one_line(bundle: Path, tmp_path: Path) -> None:
    def change(found: Members) -> None:
        text = b"head_options: [a]\nimported: mine\ndataset_version: 1\nbackbone_version: 1\nhead_version: 1\n"
        result = json.loads(found[f"{CELL}/result.json"])
        result["sha256"]["cell.yaml"] = store._sha256(text)
        del result["checksum"]
        found[f"{CELL}/cell.yaml"] = text
        found[f"{CELL}/result.json"] = json.dumps(result | {"checksum": store._checksum(result)}).encode()

    wrong = checking.check(rewritten(bundle, tmp_path / "changed.zip", change), None).wrong
    assert any("cell.yaml has other head_options than result.json" in line for line in wrong), wrong


def test_an_accuracy_by_class_that_the_predictions_do_not_give_is_named(out: Path) -> None:
    """Two classes have eight images of ten right, two have seven: told of others the mean is the same."""
    folder = store.cell_folder(out, "psc-5-0-toy")
    result = store.read_result(folder)
    assert result is not None
    assert rescoring.differing(folder, result, None)[0] == []
    result["selections"]["last"]["per_class_accuracy"] = [0.7, 0.8, 0.8, 0.7]
    assert rescoring.differing(folder, result, None)[0] == ["last: the accuracy by class is another one"]


def test_a_bundle_of_a_head_has_all_its_forms(tmp_path: Path) -> None:
    form = helpers.facts("hpn", 5, 0, head_label="hpn(loss_scale=2.0)")
    listed = [helpers.write_cell(tmp_path, form, 30, cell_id="form"), helpers.write_described(tmp_path, "hpn", 1, 30)]
    helpers.describe(store.cell_folder(tmp_path, "form"), 1)
    helpers.write_grid(tmp_path, listed)
    for head, wanted in (("hpn", ["form", "hpn-5-1-toy"]), ("hpn(loss_scale=2.0)", ["form"])):
        assert bundles.write(tmp_path, "toy-grid", tmp_path / f"{len(wanted)}.zip", [head]).cells == wanted


def test_a_selection_is_scored_again_with_its_own_scale(tmp_path: Path) -> None:
    """Of its native view, not with that of the cell."""
    folder = store.cell_folder(tmp_path, helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0), 30)["cell_id"])
    stored, result = store.read_predictions(folder), store.read_result(folder)
    assert result is not None
    test, val = (
        (stored[scores].astype(float), stored[labels])
        for scores, labels in (("last_test_logits", "test_labels"), ("val_logits", "val_labels"))
    )
    result["selections"]["last"] |= metrics.evaluate(test, val, 3.5, helpers.NOMINAL, (1, 3))
    assert (result["native_scale"], result["selections"]["last"]["native_scale"]) == (1.0, 3.5)
    assert rescoring.differing(folder, result, None)[0] == []
