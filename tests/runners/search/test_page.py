"""The commands that write the page of a search."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from headbench.runners.commands.main import main
from headbench.runners.execution import launch
from tests.runners.helpers import QUICK, grid
from tests.runners.search.helpers import EPOCHS, Formula, trials


@pytest.mark.usefixtures("no_pictures")
def test_a_search_ends_with_its_page_which_report_writes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "executor", lambda job, machine: Formula(tmp_path))
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(grid(axes={"head": ["psc", "ldam"]}, recipe=QUICK | {"epochs": EPOCHS})))
    asked = ["--grid", str(file), "--out", str(tmp_path), "--data", str(tmp_path), "--device", "cpu", "--workers", "1"]
    assert main(["tune", *asked, "--trials", "6"]) == 0
    page = tmp_path / "tiny" / "report.html"
    assert f"report: {page}" in capsys.readouterr().out.replace("\n", "")
    shown = page.read_text()
    assert "psc" in shown[shown.index('<h2 id="tuning">') :]
    assert main(["tune", *asked, "--trials", "6", "--quiet", "--json", "--no-report"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    told = json.loads(printed.out)
    assert (told["complete"], [study["trials"] for study in told["studies"]]) == (True, [6, 6])
    listed = pd.read_csv(next((tmp_path / "tiny" / "tables").glob("*-search-trials.csv")))
    assert listed["val_top1"].tolist() == pytest.approx(trials(tmp_path)["val_top1"].tolist(), nan_ok=True)
    page.unlink()
    assert main(["report", "--grid", "tiny", "--out", str(tmp_path)]) == 0
    assert page.read_text() == shown
    assert main(["status", "--grid", "tiny", "--out", str(tmp_path)]) == 2
    assert "no results of any grid" in capsys.readouterr().err
