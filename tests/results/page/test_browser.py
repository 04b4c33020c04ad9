"""The page in a real browser, which tells what it shows after each step of a reader."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headbench.results import report
from tests.results import helpers

PROBE = """<script>
const told = {}, table = document.querySelector("table");
const shown = cells => [...cells].filter(cell => !cell.hidden).map(cell => cell.textContent.trim());
const column = place => [...table.rows].slice(1).map(row => row.cells[place].textContent.trim());
const seen = () => ({
  titles: shown(table.rows[0].cells),
  heads: shown([...table.rows].slice(1).map(row => row.hidden ? row : row.cells[0])),
  said: document.getElementById("filtered").textContent,
  hash: location.hash,
});
const choose = (name, value) => document.querySelector(`input[name=${name}][value="${value}"]`).click();
addEventListener("load", () => {
  told.opened = seen();
  document.querySelector("button[type=reset]").click();
  setTimeout(() => {
    told.reset = seen();
    choose("feature_dim", "2");
    told.none = document.querySelectorAll(".none").length;
    choose("feature_dim", "2");
    choose("head_label", "etf");
    told.chosen = seen();
    const left = [...document.querySelectorAll("tbody tr")].filter(row => !row.hidden);
    told.others = left.filter(row => shown(row.cells).includes("psc")).map(row => row.textContent);
    document.querySelector('nav a[href="#calibration"]').click();
    told.anchor = { hash: location.hash, top: document.querySelector(":target").id, heads: seen().heads };
    choose("head_label", "etf");
    told.sorted = [];
    for (const place of [1, 1, 2, 2, 0]) { table.rows[0].cells[place].click(); told.sorted.push(column(place)); }
    told.order = table.rows[0].cells[0].getAttribute("aria-sort");
    table.rows[1].cells[2].textContent = "identical predictions";
    table.rows[0].cells[2].click();
    told.identical = column(2);
    const fold = document.querySelector("details");
    told.fold = [fold.open];
    fold.querySelector("summary").click();
    told.fold.push(fold.open);
    document.body.innerHTML = "<pre></pre>";
    document.querySelector("pre").textContent = JSON.stringify(told);
  }, 10);
});
</script></body>"""


@pytest.fixture
def told(tmp_path: Path, no_pictures: None) -> dict[str, Any]:
    """What the browser told of the page of the toy grid, opened with a filter in its address."""
    helpers.toy(tmp_path)
    page = report.build(tmp_path, "toy-grid").page
    page.write_text(page.read_text().replace("</body>", PROBE))
    browser = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'chromium'}",
        "--enable-logging=stderr",
        "--virtual-time-budget=2000",
        "--dump-dom",
    ]
    address = f"{page.as_uri()}#feature_dim=5"
    done = subprocess.run([*browser, address], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    (found,) = re.findall("<pre>(.*?)</pre>", done.stdout)
    read: dict[str, Any] = json.loads(html.unescape(found))
    return read


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_reader_filters_folds_sorts_and_follows_anchors(told: dict[str, Any]) -> None:
    assert told["opened"]["titles"] == ["head", "d = 5"]
    assert told["opened"]["heads"] == ["psc", "etf"]
    assert told["opened"]["said"].startswith("Shown: d 5. Hidden: ")
    assert told["reset"]["titles"] == ["head", "d = 2", "d = 5"]
    assert told["reset"]["said"] == told["reset"]["hash"] == ""
    assert told["none"] == 2  # of the pairs and of the failed cells, which are at d = 5
    assert told["chosen"]["heads"] == ["etf"]
    assert told["chosen"]["said"].startswith("Shown: head etf. Hidden: ")
    assert told["chosen"]["hash"] == "#head_label=etf"
    assert told["others"] == []
    assert told["anchor"] == {"hash": "#calibration", "top": "calibration", "heads": ["etf"]}
    # By number upwards and downwards, and by name; what is missing stays last.
    numbers = ["90.00 ± 0.00", "92.50 ± 3.54 (n=2)"]
    assert told["sorted"] == [["55.00 ± 5.00", "n/a"]] * 2 + [numbers, numbers[::-1], ["etf", "psc"]]
    assert told["order"] == "ascending"
    assert told["identical"] == ["identical predictions", numbers[0]], "a difference of 0"
    assert told["fold"] == [False, True]
