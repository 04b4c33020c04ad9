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


# Opens a section with a choice, goes to another one, and sorts columns of other contents.
LINKED = """<script>
const told = {}, long = [...document.querySelectorAll("table")].reduce((a, b) => b.rows.length > a.rows.length ? b : a);
const title = document.querySelector("table").rows[0].cells[1];
const sorted = texts => {
  const rows = [...long.rows].slice(1);
  rows.slice(texts.length).forEach(row => row.remove());
  texts.forEach((text, place) => { rows[place].cells[0].textContent = text; });
  long.rows[0].cells[0].removeAttribute("aria-sort");
  long.rows[0].cells[0].click();
  return [...long.rows].slice(1).map(row => row.cells[0].textContent);
};
title.textContent += " †";
addEventListener("load", () => setTimeout(() => {
  told.opened = { hidden: title.hidden, top: document.getElementById("calibration").getBoundingClientRect().top };
  document.querySelector('nav a[href="#accuracy"]').click();
  setTimeout(() => {
    told.hash = location.hash;
    told.hidden = title.hidden;
    told.days = sorted(["2026-11-27T10:00", "2026-11-25T10:00", "2026-11-26T10:00"]);
    told.missing = sorted(["10.20", "not computed", "9.50"]);
    told.pairs = sorted(["70.10 / 62.10", "n/a / 60.00", "9.50 / 8.00"]);
    document.body.innerHTML = "<pre></pre>";
    document.querySelector("pre").textContent = JSON.stringify(told);
  }, 10);
}, 10));
</script></body>"""


def opened(folder: Path, probe: str, fragment: str) -> dict[str, Any]:
    """What the browser told of the page of the toy grid, opened at a place of it."""
    helpers.toy(folder)
    page = report.build(folder, "toy-grid").page
    page.write_text(page.read_text().replace("</body>", probe))
    browser = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'chromium'}",
        "--enable-logging=stderr",
        "--virtual-time-budget=2000",
        "--dump-dom",
    ]
    address = f"{page.as_uri()}#{fragment}"
    done = subprocess.run([*browser, address], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    (found,) = re.findall("<pre>(.*?)</pre>", done.stdout)
    read: dict[str, Any] = json.loads(html.unescape(found))
    return read


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_reader_filters_folds_sorts_and_follows_anchors(tmp_path: Path, no_pictures: None) -> None:
    told = opened(tmp_path, PROBE, "feature_dim=5")
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


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_link_has_section_and_choice_and_odd_columns_are_sorted(tmp_path: Path, no_pictures: None) -> None:
    told = opened(tmp_path, LINKED, "calibration&feature_dim=5")
    assert told["opened"]["hidden"] is told["hidden"] is True
    assert abs(told["opened"]["top"]) < 5
    assert told["hash"] == "#accuracy&feature_dim=5"
    assert told["days"] == ["2026-11-25T10:00", "2026-11-26T10:00", "2026-11-27T10:00"]
    assert told["missing"] == ["9.50", "10.20", "not computed"]
    assert told["pairs"] == ["9.50 / 8.00", "70.10 / 62.10", "n/a / 60.00"]
