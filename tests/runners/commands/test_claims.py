"""``bench.py claims``: the verdicts of a grid's claims without its page."""

import json
from pathlib import Path

import pytest

from headbench.results import grid_rows, store
from headbench.results.answers import Answers
from headbench.results.tables import paper_claims
from headbench.runners.commands.main import main
from tests.results import helpers


def test_every_verdict_is_that_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three seeds of DL2PA, which gets 60 of 80 images right, and of a softmax that gets 30."""
    cells = [
        helpers.write_cell(tmp_path, helpers.facts(head, 5, seed, dataset="cifar100"), right)
        for head, right in (("psc", 30), ("dl2pa", 60))
        for seed in range(3)
    ]
    helpers.write_grid(tmp_path, cells)
    (grid,) = store.grids(tmp_path)
    found = paper_claims.check(grid_rows.load(tmp_path, grid), Answers(tmp_path))
    assert len(found)
    assert main(["claims", "--grid", grid, "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["grid"] == grid
    assert [(row["id"], row["verdict"]) for row in told["claims"]] == [*zip(found["id"], found["verdict"], strict=True)]
    assert main(["claims", "--grid", grid, "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for _, row in found.iterrows():
        assert f"\n{row['text']}" in text
        assert f"\n  d = {row['feature_dim']}: {row['verdict']}" in text


def test_no_claim_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helpers.write_grid(tmp_path, [helpers.write_cell(tmp_path, helpers.facts("ncm", 5, 0), 30)])
    (grid,) = store.grids(tmp_path)
    assert main(["claims", "--grid", grid, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        f"{grid}: its finished cells say nothing about a claim; results/claims.yaml has them all\n"
    )
