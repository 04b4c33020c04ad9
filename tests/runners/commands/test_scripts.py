"""What a script or a log gets of the commands: one JSON object, or what has come out and no progress."""

import json
import threading
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from headbench.core.alone import alone
from headbench.results import report, store
from headbench.runners.commands.main import main
from headbench.runners.commands.report import report_at_the_end, show_report
from headbench.runners.commands.run import ended
from headbench.runners.commands.screen import Screen
from tests.results.helpers import toy


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small store made by hand."""
    folder = tmp_path_factory.mktemp("runs")
    toy(folder)
    return folder


def test_status_is_one_object(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--grid", "toy-grid", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    planned = store.read_plan(store.grid_folder(out, "toy-grid"))["cells"]
    assert [cell["cell_id"] for cell in told["cells"]] == [cell["cell_id"] for cell in planned]
    assert [cell["head_label"] for cell in told["cells"]] == [cell["head_label"] for cell in planned]
    states = [cell["state"] for cell in told["cells"]]
    assert told["counts"] == {state: states.count(state) for state in set(states)}
    assert set(states) == {"done", "failed", "n/a", "waiting"}


def test_a_run_prints_its_outcome_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--where", "head=psc,etf", "feature_dim=2", "seed=0", "--out", str(tmp_path), "--dry-run", "--json"]
    assert main([*words, "--quiet"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert [(cell["head_label"], cell["state"]) for cell in told["cells"]] == [("psc", "waiting"), ("etf", "n/a")]
    assert "needs d >= 9" in told["cells"][1]["note"]
    assert (told["grid"], printed.err) == ("digits-dims", "")


@pytest.mark.usefixtures("no_pictures")
def test_a_report_is_one_object(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--grid", "toy-grid", "--out", str(out), "--json", "--quiet"]) == 1
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told["counts"] == {"done": 8, "failed": 1, "not_applicable": 3}
    assert [(row["cell_id"], row["error"]) for row in told["failed"]] == [("etf-5-2", "RuntimeError: no luck")]
    assert told["page"] == str(out / "toy-grid" / "report.html")
    assert str(out / "toy-grid" / "tables" / "toy-accuracy-last.csv") in told["tables"]
    assert all(Path(name).is_file() for name in told["tables"])
    assert "Top-1" not in printed.err


def test_a_report_that_cannot_be_built_after_a_training_is_one_line(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Templates that changed while it trained, say."""
    monkeypatch.setattr(report, "build", lambda *_: {"title": 1}["no such block"])
    assert report_at_the_end(out, "toy-grid", Screen()) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("no report (KeyError: 'no such block'); the cells are safe, and this builds it: ")
    assert line.endswith(f"bench.py report --grid toy-grid --out {out}")


def test_a_second_report_waits_for_the_first_and_says_so(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began = threading.Event()

    def build(*_: Any) -> None:
        began.set()
        raise ValueError("as far as this test goes")

    monkeypatch.setattr(report, "build", build)
    second = threading.Thread(target=report_at_the_end, args=(out, "toy-grid", Screen()))
    with alone(store.grid_folder(out, "toy-grid") / ".report.lock"):
        second.start()
        assert not began.wait(0.3)
        assert "another process builds the report of toy-grid" in capsys.readouterr().err
    assert began.wait(10)
    second.join()


def test_a_finished_grid_without_a_report_says_so(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [SimpleNamespace(not_applicable=reason) for reason in (None, None, "d is too small")]
    prepared: Any = SimpleNamespace(entries=[], todo=[], wanted=cells, grid=SimpleNamespace(name="toy-grid"))
    assert ended(prepared, Namespace(no_report=True, quiet=False, out=out), Screen()) == 0
    said = capsys.readouterr().out
    assert said.startswith("all 2 cells had ended before; no report was asked for; this builds it: ")
    assert said.endswith(f"bench.py report --grid toy-grid --out {out}\n")


@pytest.mark.usefixtures("no_pictures")
def test_the_table_shows_the_cells_that_were_asked_for(out: Path) -> None:
    console = Console(record=True, width=100)
    asked = {
        cell["cell_id"]
        for cell in store.read_plan(store.grid_folder(out, "toy-grid"))["cells"]
        if (cell["head_label"], cell["feature_dim"]) == ("psc", 5)
    }
    show_report(out, "toy-grid", console, cells=asked)
    printed = console.export_text()
    assert "psc" in printed
    assert "d = 5" in printed
    assert "d = 2" not in printed
    assert "etf  " not in printed
    # The files are of the whole grid.
    assert "etf" in (out / "toy-grid" / "tables" / "toy-accuracy-last.md").read_text()
