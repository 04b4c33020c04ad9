"""Two grids beside each other, with known truth."""

import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from headbench.results import store
from headbench.results.tables import versus
from headbench.runners.commands import compare, grammar
from headbench.runners.commands.main import main
from tests.results import helpers, known


def side(name: str, heads: dict[tuple[str, int], np.ndarray], **changes: object) -> versus.Side:
    rows, answers = known.answered(heads, **changes)
    return versus.Side(name, rows, answers)


def test_what_moved_and_what_did_not() -> None:
    good, far = known.random(0.8, 0), known.random(0.4, 1)
    first = side("old", {("psc", 3): far, ("etf", 3): good, ("hpn", 3): good})
    second = side("new", {("psc", 3): good, ("etf", 3): good, ("dl2pa", 3): good}, recipe="slow")
    found = versus.compare(first, second)
    assert found.differing == (["recipe fast"], ["recipe slow"])
    assert found.table is not None
    assert found.table.cells.index.tolist() == [("psc", "3"), ("etf", "3")]
    assert found.table.cells["verdict"].tolist() == ["better", "identical predictions"]
    tidy = found.table.tidy.set_index("name")
    assert tidy.loc["head psc, d = 3", "mean"] == pytest.approx(100 * (good.mean() - far.mean()))
    assert len(found.moved) == 1
    assert found.moved[0].startswith("head psc, d = 3: +")
    assert found.only == (["head hpn, d = 3"], ["head dl2pa, d = 3"])
    back = versus.compare(second, first)
    assert back.table is not None
    assert back.table.cells["verdict"].tolist() == ["worse", "identical predictions"]


def test_accuracies_are_those_of_the_seeds_that_are_compared() -> None:
    rights = known.random(0.8, 0)
    first, second = side("old", {("psc", 3): rights}), side("new", {("psc", 3): rights})
    fewer = versus.Side("new", second.rows[second.rows["seed"] > 0], second.answers)
    for found in (versus.compare(first, fewer), versus.compare(fewer, first)):
        assert found.table is not None
        row = found.table.tidy.iloc[0]
        assert row["first"] == row["second"] == pytest.approx(100 * rights[1:].mean())


def test_two_heads_are_compared_where_each_grid_has_one() -> None:
    first, second = side("mine", {("mine", 3): known.random(0.5, 0)}), side("psc", {("psc", 3): known.random(0.6, 0)})
    found = versus.compare(first, second)
    assert found.differing == (["head mine"], ["head psc"])
    assert found.table is not None
    assert found.table.cells["verdict"].tolist() == ["better"]


def test_another_precision_sets_two_grids_apart() -> None:
    heads = {("psc", 3): known.random(0.5, 0)}
    first, second, other = side("old", heads, precision="fp32"), side("new", heads, precision="bf16"), side("x", heads)
    assert versus.compare(first, second).differing == (["precision fp32"], ["precision bf16"])
    assert versus.compare(first, first).differing == versus.compare(first, other).differing == ([], [])
    theirs = versus.Side("theirs", second.rows.assign(imported="scores.npz"), second.answers)
    assert versus.compare(first, theirs).differing == ([], [])


def test_what_is_as_usual_sets_nothing_apart() -> None:
    heads = {("psc", 3): known.random(0.5, 0)}
    first, second = side("plain", heads), side("searched", heads, tuned=12)
    assert versus.compare(first, second).differing == ([], ["tuned, 12 trials each"])


def test_the_table_has_columns_for_what_rows_in_common_differ_in() -> None:
    """A row that one side alone has is named by all that sets it apart."""
    heads = {("psc", 3): known.random(0.5, 0)}
    one, other = side("one", heads), side("other", heads, backbone="another net", projection="none")
    both = versus.Side("both", pd.concat([one.rows, other.rows]), one.answers)
    found = versus.compare(both, one)
    assert found.table is not None
    assert found.table.cells.index.names == ["head", "d"]
    assert found.only == (["another net, projection none, head psc, d = 3"], [])


def test_other_images_are_not_compared() -> None:
    heads = {("psc", 3): known.random(0.5, 0), ("etf", 3): known.random(0.5, 1)}
    first, second = side("old", heads), side("new", heads, data_fingerprint="other")
    found = versus.compare(first, second)
    assert found.table is None
    assert found.unpaired == ["head psc, d = 3 (other images)", "head etf, d = 3 (other images)"]


def test_cells_of_one_identity_in_two_folders_keep_their_own_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same cells, trained on two machines: each side's answers are read from its own folder."""
    for name, rights in {"a": (20, 21, 22), "b": (36, 36, 37)}.items():
        cells = [helpers.write_cell(tmp_path / name, helpers.facts("psc", 2, s), n) for s, n in enumerate(rights)]
        helpers.write_grid(tmp_path / name, cells)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "52.50" in said
    assert "+38.33" in said
    assert "moved: head psc, d = 2: +38.33" in said
    assert "psc 2 52.50 90.83 +38.33" in re.sub(r"[^\w.+]+", " ", said)


def test_no_number_and_no_verdict_is_cut_in_a_narrow_terminal(tmp_path: Path) -> None:
    for name, backbone in (("a", "a network of a name that is long"), ("b", "b")):
        cells = [
            helpers.write_cell(tmp_path / name, helpers.facts(head, dim, seed, backbone=backbone), 30 + dim % 7)
            for head in ("psc", "hpn(loss=cross-entropy, scale=adacos)")
            for dim in (2, 100)
            for seed in range(3)
        ]
        helpers.write_grid(tmp_path / name, cells)
    console = Console(width=60, file=StringIO())
    assert compare.run(grammar.parse(["compare", str(tmp_path / "a"), str(tmp_path / "b")]), console) == 0
    assert isinstance(console.file, StringIO)
    lines = [line for line in console.file.getvalue().splitlines() if line.startswith(("psc ", "hpn"))]
    assert len(lines) == 4
    assert all(
        re.search(r"  (2|100)\s+80\.00\s+80\.00\s+identical predictions\s+3\s+identical predictions$", line)
        for line in lines
    )


def test_cells_that_are_left_out_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        cells = [helpers.write_cell(tmp_path / name, helpers.facts("psc", 2, seed), 30) for seed in range(2)]
        helpers.write_grid(tmp_path / name, cells)
    (store.cell_folder(tmp_path / "b", cells[1]["cell_id"]) / "result.json").write_text("")
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(words) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "left out of second: psc d=2 seed=1: " in said
    assert "is damaged" in said
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["first"]["left_out"] == []
    assert "psc d=2 seed=1" in told["second"]["left_out"][0]


def test_grids_are_named_in_every_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    helpers.toy(tmp_path)
    (tmp_path / "x").mkdir()
    store.write_plan(tmp_path / "again", store.read_plan(tmp_path / "toy-grid") | {"name": "again"})
    out = ["--out", str(tmp_path)]
    assert main(["compare", "toy-grid", "again", *out]) == 0
    assert "moved: nothing that is more than chance" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "toy-grid"), "again", *out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    shown = {row["name"]: (row["mean"], row["verdict"]) for row in told["rows"]}
    assert shown["head psc, d = 2"] == (0.0, "identical predictions")
    assert (told["first"]["cells"], told["second"]["only"], told["moved"]) == (8, [], [])
    monkeypatch.chdir(tmp_path / "toy-grid")
    assert main(["compare", ".", "again", *out]) == 0
    assert "moved: nothing that is more than chance" in capsys.readouterr().out
    store.write_plan(tmp_path / "x" / "begun", {"name": "begun", "cells": []})
    for words, message in (
        (["toy-grid", str(tmp_path / "x")], f"no cell of grid 'begun' in {tmp_path / 'x'} is done"),
        (["toy-grid", "agian"], "no results of a grid 'agian'"),
        (["toy-grid", "toy-grid"], "both are grid 'toy-grid'"),
        (["toy-grid", str(tmp_path / "x" / ".." / "toy-grid")], "both are grid 'toy-grid'"),
        ([str(tmp_path / "nowhere"), "again"], f"there are no results in {tmp_path / 'nowhere'}"),
        (["toy-grid", str(tmp_path / "some.zip")], "; 'bench.py merge"),
        ([str(tmp_path), "again"], "has several grids, again, toy-grid; name one with --grid"),
    ):
        capsys.readouterr()
        assert main(["compare", *words, *out]) == 2
        assert message in capsys.readouterr().err


def test_networks_of_one_seed_may_have_moved_and_marked_cells_are_left_open() -> None:
    heads = {("psc", 3): known.random(0.4, 1, n=1), ("etf", 3): known.random(0.4, 2)}
    better = {("psc", 3): known.random(0.8, 3, n=1), ("etf", 3): known.random(0.8, 4)}
    second = side("new", better)
    marked = second.rows.assign(health=np.where(second.rows["head"] == "etf", "diverged", "ok"))
    found = versus.compare(side("old", heads), versus.Side("new", marked, second.answers))
    (moved,), (left_open,) = found.moved, found.open
    assert re.fullmatch(r"head psc, d = 3: \+[\d.]+ points, these two networks differ", moved)
    assert re.fullmatch(
        r"head etf, d = 3: \+[\d.]+ points, no verdict on the heads \(etf, seed 0: diverged.*", left_open
    )
