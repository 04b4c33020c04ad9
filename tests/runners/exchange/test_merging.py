"""The cells of two folders of runs in one: nothing is lost, overwritten or hidden."""

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from headbench.core.errors import UserError
from headbench.results import grid_rows, report, store
from headbench.results.ood import cell_files
from headbench.runners.commands.main import main
from headbench.runners.exchange import merging
from headbench.runners.execution import locks, plan
from headbench.runners.grid import config
from tests.results import helpers
from tests.runners.helpers import grid

QUIET = Console(quiet=True)


def machine(out: Path, heads: dict[str, int], name: str = "toy-grid") -> dict[str, Path]:
    """Write a folder of runs with one cell of each head, which has so many of 40 images right; return their folders."""
    cells = [helpers.write_cell(out, helpers.facts(head, 5, 0), right) for head, right in heads.items()]
    helpers.write_grid(out, cells, name)
    return {cell["head"]: store.cell_folder(out, cell["cell_id"]) for cell in cells}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_machines_become_one(tmp_path: Path) -> None:
    one, two, new = tmp_path / "one", tmp_path / "two", tmp_path / "new"
    machine(one, {"psc": 30, "etf": 31})
    folders = machine(two, {"etf": 31, "hpn": 32})
    machine(two, {"dl2pa": 33}, "other")
    store.write_text(store.cell_folder(two, "failed") / "error.txt", "no luck\n")
    store.write_text(store.cell_folder(two, "begun") / "history.csv", "epoch\n")
    merged = merging.merge([one, two], new)
    assert merged.conflicts == []
    assert merged.counts == {"copied": 4, "there already": 1, "failed or pruned": 1, "unfinished": 1}
    rows = grid_rows.load(new, "toy-grid")
    assert rows["head"].unique().tolist() == ["psc", "etf", "hpn"]
    assert (rows["status"] == "done").all()
    assert contents(folders["hpn"]) == contents(store.cell_folder(new, folders["hpn"].name))
    assert grid_rows.load(new, "other")["head"].unique().tolist() == ["dl2pa"]
    # The same again changes nothing.
    before = contents(new)
    assert merging.merge([one, two], new).counts["copied"] == 0
    assert contents(new) == before


def test_weights_come_along_and_need_not_be_there(tmp_path: Path) -> None:
    """A bundle of cells with kept weights has none of them."""
    folders = machine(tmp_path / "one", {"psc": 30, "etf": 31})
    for folder in folders.values():
        (folder / store.WEIGHTS).write_bytes(b"weights")
        helpers.rewrite(folder, {})
    (folders["psc"] / store.WEIGHTS).unlink()
    merged = merging.merge([tmp_path / "one"], tmp_path / "new")
    assert (merged.conflicts, merged.counts) == ([], {"copied": 2})
    for folder in folders.values():
        assert contents(store.cell_folder(tmp_path / "new", folder.name)) == contents(folder)
    assert (grid_rows.load(tmp_path / "new", "toy-grid")["status"] == "done").all()


def test_what_was_measured_on_other_data_sets_comes_along(tmp_path: Path) -> None:
    """With a cell that is copied, and to one that is there; a damaged file is named and left."""
    one, two = tmp_path / "one", tmp_path / "two"
    (own,) = machine(one, {"psc": 30}).values()
    theirs = machine(two, {"psc": 30, "etf": 31})
    keys = ["0" * 16, "1" * 16, "2" * 16]
    for number, key in enumerate(keys):
        for folder in (theirs["psc"], theirs["etf"]):
            cell_files.write(folder, key, {"dataset": "other", "images": 5, "metrics": {"m": number / 10}})
    cell_files.write(own, keys[0], {"dataset": "other", "images": 5, "metrics": {"m": 0.9}})
    (theirs["etf"] / cell_files.name_of(keys[2])).write_text("{}")
    (line,) = merging.merge([two], one).conflicts
    assert line == f"left out: {theirs['etf'] / cell_files.name_of(keys[2])} is damaged"
    copied = store.cell_folder(one, theirs["etf"].name)
    for folder, expected in ((own, [0.9, 0.1, 0.2]), (copied, [0.0, 0.1, None])):
        found = [cell_files.read(folder, key) for key in keys]
        assert [measured and measured["metrics"]["m"] for measured in found] == expected


def test_a_grid_keeps_the_other_data_sets_of_all_its_plans(tmp_path: Path) -> None:
    """In either order; of two that are called alike, the first folder's."""
    ours, other, theirs = (
        {"label": label, "key": key * 16} for label, key in (("svhn", "0"), ("svhn", "1"), ("x", "2"))
    )
    outside = {"one": {}, "two": {"ood": [{"name": "svhn"}], "ood_sets": [ours]}}
    outside["three"] = {"ood": [{"name": "svhn"}, {"name": "x"}], "ood_sets": [other, theirs]}
    for name, told in outside.items():
        machine(tmp_path / name, {"psc": 30})
        folder = store.grid_folder(tmp_path / name, "toy-grid")
        store.write_plan(folder, store.read_plan(folder) | told)
    for number, order in enumerate((["one", "two", "three"], ["two", "one", "three"], ["two", "three", "one"])):
        into = tmp_path / f"into-{number}"
        merged = merging.merge([tmp_path / name for name in order], into)
        assert merged.conflicts == []
        plan = store.read_plan(store.grid_folder(into, "toy-grid"))
        assert (plan["ood"], plan["ood_sets"]) == ([{"name": "svhn"}, {"name": "x"}], [ours, theirs])


def test_a_grid_that_only_the_second_folder_knows_more_of_is_another_one(tmp_path: Path) -> None:
    for name, told in (("one", {}), ("two", {"val_fraction": 0.2})):
        machine(tmp_path / name, {"psc": 30})
        folder = store.grid_folder(tmp_path / name, "toy-grid")
        store.write_plan(folder, store.read_plan(folder) | {"axes": {"head": ["psc"]}} | told)
    (line,) = merging.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "new").conflicts
    assert "is another one in" in line
    assert "val_fraction 0.2, and None there" in line


def test_what_disagrees_or_is_damaged_is_named_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    machine(one, {"psc": 30, "etf": 31})
    folders = machine(two, {"psc": 28, "etf": 31, "hpn": 32, "dl2pa": 33})
    (folders["hpn"] / "predictions.npz").write_bytes(b"cut off")
    own = store.cell_folder(one, folders["etf"].name) / "result.json"
    own.write_text(own.read_text()[:-10])
    before = contents(one)
    assert main(["merge", str(one), str(two)]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"conflict: cell psc-5-0-toy (psc, d = 5, seed 0 on toy) has other numbers in {two}" in said
    assert "top1 0.7000 than in" in said
    assert "top1 0.7500, which is kept" in said
    assert f"left out: {folders['hpn'] / 'predictions.npz'} is damaged or missing" in said
    assert f"left as it is: {own} is damaged; merge into a new folder" in said
    assert "1 copied" in said
    after = contents(one)
    assert {name: after[name] for name in before if not name.endswith("grid.yaml")} == {
        name: content for name, content in before.items() if not name.endswith("grid.yaml")
    }


def test_a_merge_that_is_cut_off_leaves_no_half_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    machine(one, {"psc": 30})
    (folder,) = machine(two, {"etf": 31}).values()
    write, written = store.write_bytes, list[str]()

    def dying(path: Path, content: bytes) -> None:
        if path.name == "result.json":
            raise OSError("no space")
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr(store, "write_bytes", dying)
    with pytest.raises(OSError, match="no space"):
        merging.merge([two], one)
    monkeypatch.undo()
    assert sorted(written) == ["geometry.npz", "history.csv", "predictions.npz"]
    assert store.read_result(store.cell_folder(one, folder.name)) is None
    assert merging.merge([two], one).counts == {"copied": 1}
    assert len(grid_rows.load(one, "toy-grid")["cell_id"].unique()) == 2


def test_a_cell_in_training_is_left_alone(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    machine(one, {"psc": 30})
    (folder,) = machine(two, {"etf": 31}).values()
    with locks.locked(store.cell_folder(one, folder.name), locks.Watch()) as mine:
        assert mine is not None
        merged = merging.merge([two], one)
    assert merged.conflicts == [f"left out: {folder}, since {store.cell_folder(one, folder.name)} is being trained"]


def test_parts_of_a_grid_come_in_its_order(tmp_path: Path) -> None:
    """The first head is what the others are compared with, whoever trained it."""
    parsed = config.parse_grid(grid(axes={"head": ["psc", "dl2pa"], "seed": [0, 1]}), "grid tiny")
    planned = plan.make(config.expand(parsed, "fp32", "grid tiny"), tmp_path)
    entries = plan.listed(planned, [p.cell for p in planned], [])
    parts = {"one": entries[2:3], "two": [*entries[3:], *entries[:2]]}
    for name, cells in parts.items():
        asked = {"commands": [["--grid", "tiny"], ["--grid", name]]}
        store.write_plan(tmp_path / name / "tiny", plan.resolved(parsed, cells) | asked)
    merging.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "new")
    assert (
        store.read_plan(tmp_path / "new" / "tiny")["cells"]
        == store.read_plan(_whole(tmp_path, parsed, entries))["cells"]
    )
    assert store.read_plan(tmp_path / "new" / "tiny")["commands"] == [
        ["--grid", word] for word in ("one", "tiny", "two")
    ]
    mine = {"cell_id": "mine", "not_applicable": None, "imported": "mine.npz"} | helpers.facts("mine", 5, 0)
    store.write_plan(tmp_path / "four" / "tiny", {"name": "tiny", "description": "imported", "cells": [mine]})
    for sources in (["four", "new"], ["new", "four"]):
        into = tmp_path / f"first-{sources[0]}"
        assert merging.merge([tmp_path / source for source in sources], into).conflicts == []
        contents = store.read_plan(into / "tiny")
        assert contents["axes"]["head"]
        assert [cell["cell_id"] for cell in contents["cells"]] == [*(entry["cell_id"] for entry in entries), "mine"]
    other = plan.resolved(parsed.model_copy(update={"projection": "none"}), entries)
    store.write_plan(tmp_path / "three" / "tiny", other)
    (line,) = merging.merge([tmp_path / "three"], tmp_path / "new").conflicts
    assert "grid 'tiny' is another one" in line
    assert "projection none, and linear there" in line


def _whole(folder: Path, parsed: config.Grid, entries: list[dict[str, object]]) -> Path:
    store.write_plan(folder / "whole" / "tiny", plan.resolved(parsed, entries))
    return folder / "whole" / "tiny"


def test_what_cannot_be_merged_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine(tmp_path / "one", {"psc": 30})
    with pytest.raises(UserError, match="there are no results in .*empty"):
        merging.merge([tmp_path / "empty"], tmp_path / "one")
    with pytest.raises(UserError, match="given twice"):
        merging.merge([tmp_path / "one"], tmp_path / "one")
    machine(tmp_path / "two", {"etf": 31})
    before = contents(tmp_path / "one")
    grid = str(tmp_path / "one" / "toy-grid")
    report_to = ["report", "--grid", "toy-grid", "--out", str(tmp_path / "one"), str(tmp_path / "two"), "--to", grid]
    for words in (["merge", grid, str(tmp_path / "two")], ["merge", str(tmp_path / "two"), "--into", grid], report_to):
        assert main(words) == 2
        assert f"no cells go into {grid}; it is a grid's own folder, name {tmp_path / 'one'}" in capsys.readouterr().err
    assert contents(tmp_path / "one") == before
    assert main(["merge", str(tmp_path / "one")]) == 2
    assert "give two folders of results at least" in capsys.readouterr().err


def test_a_damaged_cell_of_the_target_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = machine(tmp_path / "one", {"psc": 30})
    machine(tmp_path / "two", {"psc": 30})
    (own["psc"] / "predictions.npz").unlink()
    assert main(["merge", str(tmp_path / "one"), str(tmp_path / "two")]) == 1
    assert "left as it is: " in (said := " ".join(capsys.readouterr().out.split()))
    assert "predictions.npz is damaged or missing; merge into a new folder" in said


def test_no_folder_is_made_of_a_misspelt_one_nor_of_that_of_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(tmp_path / "one", {"psc": 30})
    machine(tmp_path / "two", {"etf": 31})
    assert main(["merge", str(tmp_path / "oen"), str(tmp_path / "two")]) == 2
    assert f"there is no folder {tmp_path / 'oen'}; for a new one" in capsys.readouterr().err
    cells = tmp_path / "one" / "cells"
    assert main(["merge", str(cells), str(tmp_path / "two")]) == 2
    assert f"it is the folder of cells of {tmp_path / 'one'}, name that" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    assert not (cells / "cells").exists()


def test_a_report_of_several_folders_has_no_cells_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pairs of folders may have the same names; and the folder that one stands in has none."""
    for place, head in (("a", "psc"), ("b", "etf"), ("c", "hpn")):
        machine(tmp_path / place / "runs", {head: 30})
    shown: list[Path] = []

    def build(out: Path, grid: str, *_: object) -> report.Report:
        shown.append(out)
        return report.Report(grid_rows.load(out, grid), [], out, [], written=False)

    monkeypatch.setattr(report, "build", build)
    monkeypatch.chdir(tmp_path / "a" / "runs")
    words = ["report", "--grid", "toy-grid", "--out", "."]
    assert main([*words, "../../b/runs"]) == 0
    assert main([*words, "../../b/runs"]) == 0
    assert shown == [tmp_path / "a" / "runs+runs"] * 2
    capsys.readouterr()
    assert main([*words, "../../c/runs"]) == 2
    said = capsys.readouterr().err
    assert f"has links to cells of {tmp_path / 'b' / 'runs'}, too; name another folder with --to" in said
    assert main([*words, "../../c/runs", "--to", str(tmp_path / "other")]) == 0
    assert main([*words, "../../b/runs", "--to", str(tmp_path / "other")]) == 2
    # A cell that is gone, to be trained again, is none of another folder.
    shutil.rmtree(machine(tmp_path / "b" / "runs", {"etf": 30})["etf"])
    assert main([*words, "../../b/runs"]) == 0


def test_one_report_of_two_folders_leaves_both_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    machine(one, {"psc": 30, "etf": 31})
    folders = machine(two, {"psc": 28, "etf": 31, "hpn": 32})
    failed = store.cell_folder(one, folders["hpn"].name)
    store.write_text(failed / "error.txt", "no luck\n")
    before = [contents(one), contents(two)]
    shown: list[Path] = []

    def build(out: Path, grid: str, *_: object) -> report.Report:
        shown.append(out)
        return report.Report(grid_rows.load(out, grid), [], out, [], written=False)

    monkeypatch.setattr(report, "build", build)
    words = ["report", "--grid", "toy-grid", "--out", str(one), str(two)]
    assert [main([*words, "--json"]), main(words)] == [0, 0]
    assert shown == [tmp_path / "one+two"] * 2
    rows = grid_rows.load(shown[0], "toy-grid")
    # What was done in the second folder only, and of two that disagree the first's.
    assert (rows["status"] == "done").all()
    assert rows.groupby("head")["top1"].first().to_dict() == {"etf": 31 / 40, "hpn": 32 / 40, "psc": 30 / 40}
    printed = capsys.readouterr()
    told, end = json.JSONDecoder().raw_decode(printed.out)
    assert told["grid"] == "toy-grid"
    assert any("conflict" in line for line in told["lines"])
    assert "conflict" in printed.err
    assert "conflict" in printed.out[end:]
    assert [contents(one), contents(two)] == before
    assert main([*words, "--to", str(tmp_path / "one")]) == 2
    assert main([*words[:4], str(one), str(tmp_path / "none")]) == 2
    assert main([*words, "--to", __file__]) == 2


def test_a_folder_that_is_given_twice_counts_once_in_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    machine(one, {"psc": 30})
    machine(two, {"etf": 31})
    link.symlink_to(one)
    shown: list[Path] = []

    def build(out: Path, grid: str, *_: object) -> report.Report:
        shown.append(out)
        return report.Report(grid_rows.load(out, grid), [], out, [], written=False)

    monkeypatch.setattr(report, "build", build)
    words = ["report", "--grid", "toy-grid", "--out", str(one), f"{one}/", str(tmp_path / "two" / ".." / "one")]
    assert main(words) == 0
    assert main([*words, str(two), str(link)]) == 0
    assert shown == [one, tmp_path / "one+two"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "one", "one+two", "two"]


def test_another_training_of_a_listed_cell_is_kept_and_not_listed(tmp_path: Path, no_pictures: None) -> None:
    """Tables would count both as seeds: a head of two versions, or one that was imported beside one that was trained.

    What is listed depends on which folder comes first alone, also in the folder of a report of several.
    """
    for version, name in enumerate(("one", "two"), start=1):
        cell = helpers.facts("psc", 5, 0)
        entry = helpers.write_cell(tmp_path / name, cell, 28 + version, cell_id=f"version-{version}")
        helpers.describe(store.cell_folder(tmp_path / name, f"version-{version}"), version)
        helpers.write_grid(tmp_path / name, [entry])
    given = helpers.write_cell(tmp_path / "three", helpers.facts("psc", 5, 7), 33)
    helpers.write_grid(tmp_path / "three", [given | {"imported": "mine.npz"}])
    one, two, three, new = (tmp_path / name for name in ("one", "two", "three", "new"))
    merged = merging.merge([one, two, three], new)
    assert merged.counts == {"copied": 3}
    for line, told in zip(
        merged.conflicts,
        [
            f"conflict: cell version-2 (psc, d = 5, seed 0 on toy) of {two / 'toy-grid'} would count as a seed beside "
            f"cell version-1 of {new / 'toy-grid'}, and is another training (head_version 2, and 1 there);",
            f"conflict: cell psc-5-7-toy (psc, d = 5, seed 7 on toy) of {three / 'toy-grid'} would count as a seed "
            f"beside cell version-1 of {new / 'toy-grid'}, and is another training (one was imported, the other tr",
        ],
        strict=True,
    ):
        assert line.startswith(told)
        assert line.endswith(
            "; its files are kept, and it is not listed there; to list it instead, merge into a new folder, with its "
            "folder first"
        )
    assert grid_rows.load(new, "toy-grid")["cell_id"].unique().tolist() == ["version-1"]
    assert contents(store.cell_folder(new, "version-2")) == contents(store.cell_folder(two, "version-2"))
    # A folder that lists both since it was made before.
    listed = [store.read_plan(store.grid_folder(folder, "toy-grid"))["cells"][0] for folder in (two, one)]
    helpers.write_grid(tmp_path / "two+one", listed)
    words = ["report", "--grid", "toy-grid", "--out", str(two), str(one)]
    for _ in range(2):
        assert main(words) == 0
        assert grid_rows.load(tmp_path / "two+one", "toy-grid")["cell_id"].unique().tolist() == ["version-2"]


def test_seeds_of_two_versions_of_a_head_are_not_listed_together(tmp_path: Path) -> None:
    """Though no seed is there twice; other heads of the same folder are of one version, and stand together."""
    for version, name in enumerate(("one", "two"), start=1):
        cells = []
        for head, own in (("psc", version), ("etf", 1)):
            cells.append(helpers.write_cell(tmp_path / name, helpers.facts(head, 5, version), 30))
            helpers.describe(store.cell_folder(tmp_path / name, cells[-1]["cell_id"]), own)
        helpers.write_grid(tmp_path / name, cells)
    (line,) = merging.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "new").conflicts
    assert "(psc, d = 5, seed 2 on toy)" in line
    assert "beside cell psc-5-1-toy" in line
    assert "another training (head_version 2, and 1 there); its files are kept" in line
    listed = {cell["cell_id"] for cell in store.read_plan(tmp_path / "new" / "toy-grid")["cells"]}
    assert listed == {"psc-5-1-toy", "etf-5-1-toy", "etf-5-2-toy"}


@pytest.mark.parametrize("changes", [{"recipe_hash": "456"}, {"head_options": '{"scale": 3.0}'}])
def test_seeds_of_two_searches_values_are_not_listed_together(tmp_path: Path, changes: dict[str, str]) -> None:
    """Each dimension has values of its own; an option that one of both does not know differs in nothing."""
    options = {"tuned": 5, "head_options": '{"scale": 2.0}'}
    for seed, own in enumerate(({}, changes, {"head_options": '{"scale": 2.0, "later": 1}'})):
        out = tmp_path / str(seed)
        cell = helpers.write_cell(out, helpers.facts("psc", 5, seed) | options | own, 30)
        helpers.write_grid(out, [cell])
        store.write_yaml(
            store.cell_folder(out, cell["cell_id"]) / "cell.yaml",
            {"dataset_version": 1, "backbone_version": 1, "head_version": 1, "seed": seed}
            | {"recipe": {"epochs": 1, "lr": 0.01 if own is changes else 0.1}},
        )
        helpers.rewrite(store.cell_folder(out, cell["cell_id"]), {})
    out = tmp_path / "other dimension"
    helpers.write_grid(out, [helpers.write_cell(out, helpers.facts("psc", 9, 0) | options | changes, 30)])
    (line,) = merging.merge([tmp_path / "0", tmp_path / "1", tmp_path / "2", out], tmp_path / "new").conflicts
    assert "(psc, d = 5, seed 1 on toy)" in line
    assert "would count as a seed beside cell psc-5-0-toy" in line
    assert "is another training (recipe.lr 0.01, and 0.1 there);" in line
    listed = {cell["cell_id"] for cell in store.read_plan(tmp_path / "new" / "toy-grid")["cells"]}
    assert listed == {"psc-5-0-toy", "psc-5-2-toy", "psc-9-0-toy"}


def test_a_cell_that_another_plan_calls_otherwise_is_the_same_cell(tmp_path: Path) -> None:
    """As one that a search found to be the best, whose values are those of the grid."""
    for name, told in (("one", {"tuned": 0}), ("two", {"tuned": 5, "recipe": "fast(lr=0.1)"})):
        cell = helpers.facts("psc", 5, 0) | told
        helpers.write_grid(tmp_path / name, [helpers.write_cell(tmp_path / name, cell, 30, cell_id="same")], name)
    merged = merging.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "new")
    assert (merged.conflicts, merged.counts) == ([], {"copied": 1, "there already": 1})


def test_what_is_done_is_listed_before_what_is_only_planned(tmp_path: Path) -> None:
    """One folder has planned a head of an older version, or it did not apply there; the other has trained it."""
    planned = {"cell_id": "v1", "not_applicable": None} | helpers.facts("psc", 5, 0)
    absent = {"cell_id": "h1", "not_applicable": "too few dimensions"} | helpers.facts("hpn", 5, 0)
    ahead = {"cell_id": "ahead", "not_applicable": None} | helpers.facts("psc", 5, 1)
    helpers.write_grid(tmp_path / "one", [planned, absent, ahead])
    trained = [
        helpers.write_cell(tmp_path / "two", helpers.facts(head, 5, 0), 30, cell_id=cell_id)
        for head, cell_id in (("psc", "v2"), ("hpn", "h2"))
    ]
    helpers.write_grid(tmp_path / "two", trained)
    merged = merging.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "new")
    assert merged.conflicts == []
    listed = {cell["cell_id"] for cell in store.read_plan(tmp_path / "new" / "toy-grid")["cells"]}
    assert listed == {"ahead", "v2", "h2"}


def test_a_cell_whose_protocol_had_another_name_is_the_same_cell(tmp_path: Path) -> None:
    for name, protocol in (("one", "holdout-0.1"), ("two", "holdout-0.1 split-seed-5")):
        cell = helpers.facts("psc", 5, 0, protocol=protocol)
        helpers.write_grid(tmp_path / name, [helpers.write_cell(tmp_path / name, cell, 30, cell_id="same")])
    merged = merging.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "new")
    assert merged.conflicts == []


def test_a_grid_of_the_same_name_with_other_seeds_is_said_to_be_one(tmp_path: Path) -> None:
    for name, seeds, head in (("one", [0, 1], "psc"), ("two", [1, 2], "etf")):
        machine(tmp_path / name, {head: 30})
        folder = store.grid_folder(tmp_path / name, "toy-grid")
        store.write_plan(folder, store.read_plan(folder) | {"axes": {"head": ["psc", "etf"], "seed": seeds}})
    (line,) = merging.merge([tmp_path / "two"], tmp_path / "one").conflicts
    assert "axes.seed 1, 2, and 0, 1 there; its cells are copied, and not listed" in line
    assert line.endswith("the same grid with --set axes.seed=0,1,2 lists all, and trains none of them again")
