"""The leaderboard: verdicts only where they can be had, and a page that is that of the recorded rows."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from headbench.core.errors import UserError
from headbench.results import recorded, store
from headbench.results.leaderboard import board, page
from headbench.runners.commands import grammar
from headbench.runners.commands.main import main
from headbench.runners.grid import config, overrides, tuned
from tests.results import helpers

ROOT = Path(__file__).parents[3]
STYLED = re.compile(r"<(style|script)>.*?</\1>", re.DOTALL)
# Right of 40 test images by seed: psc and etf differ in 16 to 20 of them.
RIGHT = {"psc": (20, 20, 21), "etf": (38, 38, 37), "<b>hpn</b>": (30,)}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recorded rows: one grid with its answers, and one whose answers are lost."""
    out, folder = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("measured")
    cells = [
        helpers.write_described(out, head, seed, right)
        for head, rights in RIGHT.items()
        for seed, right in enumerate(rights)
        if "<" not in head
    ]
    unsafe = helpers.facts("hpn", 5, 0, head_label="<b>hpn</b>")
    cells.append(helpers.write_cell(out, unsafe, 30, cell_id="hpn-0"))
    helpers.describe(store.cell_folder(out, "hpn-0"), 1)
    asked = [["--grid", "toy-grid", "--set", "axes.head=[psc, etf]"]]
    store.write_plan(out / "toy-grid", {"name": "toy-grid", "cells": cells, "commands": asked})
    helpers.write_grid(out, cells, "lost")
    for grid in ("toy-grid", "lost"):
        recorded.record(out, grid, folder)
    (folder / "lost.answers.npz").unlink()
    return folder


def test_a_verdict_takes_three_seeds_and_the_answers(measured: Path) -> None:
    lost, known = board.boards(measured)
    assert (lost.grid, lost.judged, known.judged) == ("lost", False, True)
    said = known.table.cells["verdict"].droplevel("d").to_dict()
    assert said["psc"] == "the reference"
    assert said["etf"] == "better"
    assert said["<b>hpn</b>"] == "one seed: no verdict"
    assert known.table.cells.index.get_level_values("head").tolist() == ["etf", "<b>hpn</b>", "psc"]
    assert known.table.cells["minus psc"].iloc[0].startswith("+43.33 [")
    assert lost.table.cells["verdict"].droplevel("d")["etf"] == "no verdict: which images are right is not recorded"
    assert "minus psc" not in lost.table.cells
    assert known.commands == ["python bench.py --grid toy-grid --set 'axes.head=[psc, etf]'"]
    assert lost.commands == []


def test_the_page_is_escaped_and_stands_alone(measured: Path) -> None:
    shown = page.page(board.boards(measured))
    assert "<b>hpn</b>" not in shown
    assert "&lt;b&gt;hpn&lt;/b&gt;" in shown
    assert "1 of 2 tables" in shown
    assert "The command is not recorded." in shown
    for outside in ("http://", "https://", "<link", " src="):
        assert outside not in shown


def test_another_page_is_not_overwritten(measured: Path, tmp_path: Path) -> None:
    (tmp_path / page.FILE).write_text("<title>Mine</title>")
    with pytest.raises(UserError, match="is no leaderboard; give another --to"):
        page.write(measured, tmp_path)
    assert (tmp_path / page.FILE).read_text() == "<title>Mine</title>"
    (tmp_path / page.FILE).unlink()
    assert page.write(measured, tmp_path).read_bytes() == page.write(measured, tmp_path).read_bytes()


def test_the_page_of_the_repository_is_that_of_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where this fails, run ``python bench.py leaderboard``."""
    assert main(["leaderboard", "--to", str(tmp_path)]) == 0
    assert str(tmp_path) in capsys.readouterr().out.replace("\n", "")
    made, kept = ((folder / page.FILE).read_text() for folder in (tmp_path, ROOT / "docs" / "leaderboard"))
    # Of an earlier style or script it is as true.
    assert STYLED.sub("", made) == STYLED.sub("", kept)
    assert len(made) < 300_000
    titles = re.findall(r'<h2 id="board-\d+">(.*?)</h2>', made)
    assert len({*titles}) == len(titles) > 20


def test_every_recorded_row_is_of_a_cell_of_its_command() -> None:
    files = {file.stem: file for file in recorded.FOLDER.glob("*.csv")}
    told = recorded.commands(recorded.FOLDER)
    assert told.keys() == files.keys()
    for name, commands in told.items():
        made = dict[tuple[str, int, int], list[dict[str, Any]]]()
        for command in commands:
            program, *words = shlex.split(command.removeprefix("python "))
            assert program == "bench.py"
            asked = grammar.parse(words)
            contents, place = config.read_grid(asked.grid)
            derived = overrides.derive(contents, overrides.assignments(asked.set, "--set"), asked.name)
            # Values of a search are kept beside the rows of the grid that was trained with them.
            assert derived["name"] + ("+tuned" if asked.tuned and tuned.read(asked.tuned) else "") == name
            # Files of weights are not in the repository.
            if "weights" in str(derived["axes"].get("backbone")):
                derived["axes"] = derived["axes"] | {"backbone": ["fast_convnet"]}
            cells = config.expand(config.parse_grid(derived, place), "auto", derived=True)
            chosen = overrides.choose(cells, overrides.assignments(asked.where, "--where"))
            for cell in chosen:
                made.setdefault((cell.head_label, cell.feature_dim, cell.seed), []).append(cell.head_options)
        for row in recorded.load(files[name]).drop_duplicates("cell_id").to_dict("records"):
            # An option that there was not yet is at what it did then. Tuned values may be options, too.
            options: dict[str, Any] = {} if row["tuned"] > 0 else json.loads(row["head_options"])
            trained = made[row["head_label"], row["feature_dim"], row["seed"]]
            assert any(options.items() <= (options | own).items() for own in trained), (
                name,
                row["head_label"],
                options,
            )
