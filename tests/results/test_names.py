"""A runs folder of somebody else, whose every name is hostile: the page, the tables and the figures show the names and
do nothing else.
"""

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from matplotlib.figure import Figure
from PIL import Image

from headbench.core import escape
from headbench.results import report, store
from headbench.results.figures import accuracy, base
from headbench.results.tables import latex
from headbench.runners.commands.main import main
from tests.core.test_escape import Seen
from tests.results import helpers

RUNS_SCRIPT = "<img src=x onerror=document.title=1>\"'><script>document.title='run'</script>"
HEADS = [
    f"psc(a={RUNS_SCRIPT})",
    "../../../elsewhere|[/x]=$_{x$ \\input{/etc/passwd}%#&~^\u202e\x1b[31m",
    "=1+1 中文 " + "x" * 150,
]
DATASET = f"folder(path=../../../{RUNS_SCRIPT}R&D #1 {{50%}}_~^)"
CLASSES = [RUNS_SCRIPT, "=cmd|' /C calc'!A0", "a|b $_{x$ [red]", "\\end{tabular} < > & # {\nnext"]
ERROR = f"RuntimeError: bad path [/data/stats.npy] {RUNS_SCRIPT} | $x_{{$ \\x"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid whose data set, heads, classes, errors, protocol, device and own name are hostile; its report is built."""
    out = tmp_path_factory.mktemp("runs") / "deep" / "deeper" / "out"
    # Hostile in every column that is a text.
    texts = {
        key: f"{key} {RUNS_SCRIPT}" for key in ("protocol", "backbone", "projection", "recipe", "data_fingerprint")
    }
    texts |= {"dataset": DATASET, "head_options": json.dumps({"a": RUNS_SCRIPT})}
    cells = [
        helpers.write_cell(
            out,
            helpers.facts(head, dim, seed, **texts),
            20 + 3 * number + seed,
            cell_id=f"{number}{dim}{seed}",
            class_names=CLASSES,
        )
        for number, head in enumerate(HEADS)
        for dim in (2, 5)
        for seed in (0, 1)
    ]
    cells += [{"cell_id": "failed", "not_applicable": None} | helpers.facts(HEADS[0], 5, 2, **texts)]
    store.write_text(store.cell_folder(out, "failed") / "error.txt", ERROR)
    cells += [{"cell_id": "none", "not_applicable": f"since {RUNS_SCRIPT}"} | helpers.facts(HEADS[1], 5, 2, **texts)]
    folder = store.grid_folder(out, "foreign")
    store.write_plan(folder, {"name": f"../../{RUNS_SCRIPT}", "cells": cells})
    (out.parents[2] / "before").write_text("\n".join(sorted(map(str, out.parents[2].rglob("*")))))
    report.build(out, "foreign")
    return out


def test_nothing_is_written_outside_the_grids_folder(runs: Path) -> None:
    above = runs.parents[2]
    before = set((above / "before").read_text().split("\n"))
    made = {path for path in above.rglob("*") if path.is_file() and str(path) not in before} - {above / "before"}
    assert made
    assert all(path.is_relative_to(runs / "foreign") for path in made)
    assert all(len(path.name) < 100 and path.parent.name in {"foreign", "tables", "figures"} for path in made)
    assert len(list((runs / "foreign" / "tables").glob("*.csv"))) == len(
        list((runs / "foreign" / "tables").glob("*.tex"))
    )


def test_the_page_shows_every_name_and_has_no_tag_of_any(runs: Path) -> None:
    page = (runs / "foreign" / "report.html").read_text()
    seen = Seen()
    seen.feed(page)
    assert {tag for tag, _ in seen.tags} <= set(
        "html head meta title style body main h1 h2 h3 p a nav section div table thead tbody tr th td b figure img ul "
        "li script details summary span form fieldset legend label input button pre code figcaption "
        "svg g path defs use clippath pattern rect text image".split()
    )
    assert not any(name.startswith("on") for _, attributes in seen.tags for name, _ in attributes)
    sources = [dict(attributes)["src"] for tag, attributes in seen.tags if tag == "img"]
    assert all(source and re.match(r"data:image/png;base64,", source) for source in sources)
    inner = [dict(attributes).get("href") or "" for tag, attributes in seen.tags if tag in ("use", "image")]
    assert all(re.match(r"#f[0-9a-f]{8}-|data:image/png;base64,", link) for link in inner)
    links = [dict(attributes)["href"] or "" for tag, attributes in seen.tags if tag == "a"]
    assert all(re.fullmatch(r"#[a-z-]+|(tables|figures)/[^/:]+", link) for link in links)
    for name in (*HEADS, DATASET, *CLASSES, ERROR, f"since {RUNS_SCRIPT}"):
        assert escape.plain(name) in seen.text
    assert "figure" in page
    assert "left out" not in seen.text, [line for line in seen.text.splitlines() if "left out" in line]
    assert "boxes there" in seen.text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_runs_no_script_of_a_name(runs: Path, tmp_path: Path) -> None:
    browser = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
        "--enable-logging=stderr",
        "--dump-dom",
    ]
    page = runs / "foreign" / "report.html"
    done = subprocess.run([*browser, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    title, *points = re.findall(r"<title>(.*?)</title>", done.stdout)
    assert any(escape.html(RUNS_SCRIPT)[:30] in point for point in points)
    assert title == "foreign: headbench"
    assert '<img src="x"' not in done.stdout


@pytest.mark.skipif(
    shutil.which("pdflatex") is None or shutil.which("pdftotext") is None,
    reason="needs pdflatex with booktabs, and pdftotext",
)
def test_every_table_compiles_and_prints_the_names(runs: Path, tmp_path: Path) -> None:
    inputs = "\\clearpage\n".join(file.read_text() for file in sorted((runs / "foreign" / "tables").glob("*.tex")))
    geometry = "\\usepackage[paperwidth=250cm,paperheight=60cm]{geometry}"
    (tmp_path / "all.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{booktabs,graphicx}}{geometry}\\begin{{document}}\n{inputs}\\end{{document}}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    printed = subprocess.run(
        ["pdftotext", "-raw", "all.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    for text in (
        "<img src=x onerror",
        "R&D #1 {50%}",
        "\\end{tabular} < > & # {\\nnext",
        "a|b $_{x$ [red]",
        "many (> 100)",
        "few (< 20)",
        "U+4E2D",
    ):
        # An underscore is a drawn line, and no letter of the file.
        assert "".join(text.replace("_", "").split()) in "".join(printed.replace("_", "").split()), text
    assert "root:" not in printed


def test_markdown_tables_keep_their_columns(runs: Path) -> None:
    for file in (runs / "foreign" / "tables").glob("*.md"):
        seen = Seen()
        seen.feed(MarkdownIt("commonmark").enable("table").render(file.read_text()))
        assert {tag for tag, _ in seen.tags} <= {"p", "table", "thead", "tbody", "tr", "th", "td", "strong"}, file
        counts = [
            row.count("<td")
            for row in MarkdownIt("commonmark").enable("table").render(file.read_text()).split("<tr>")[2:]
        ]
        assert len(set(counts)) == 1, file


def cells_of(text: str) -> Sequence[Sequence[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_no_spreadsheet_runs_a_cell(runs: Path) -> None:
    files = [*(runs / "foreign" / "tables").glob("*.csv"), runs / "foreign" / "results.csv"]
    texts = [text for file in files for row in cells_of(file.read_text()) for text in row]
    assert not [text for text in texts if re.match(r"[=@\t\r]|[+-](?![\d.])", text) and text != "-"]
    assert "'=1+1 中文 " + "x" * 150 in texts
    classes = next(file for file in files if "classes" in file.name)
    assert "'" + CLASSES[1] in classes.read_text()


@pytest.mark.usefixtures("no_pictures")
def test_the_terminal_shows_the_names(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["report", "--grid", "foreign", "--out", str(runs)]) == 1
    printed = capsys.readouterr().out
    assert ERROR in printed
    assert escape.plain(HEADS[1])[:60] in printed
    assert not {"\x1b", "\u202e"} & set(printed)
    assert main(["status", "--grid", "foreign", "--out", str(runs)]) == 0
    printed = "".join(capsys.readouterr().out.split())
    assert "[/data/stats.npy]" in printed
    assert "1failed" in printed


@pytest.mark.parametrize("name", ["$_{x$ y", "p$5-$10", "\x1b\x00", "中文", "\\frac{", "x" * 2000, "_hidden"])
def test_a_figure_takes_any_name(
    name: str, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    drawn = Figure()
    axis = drawn.subplots()
    axis.set_title(name)
    axis.plot([1, 2], label=name)
    axis.legend()
    with Image.open(io.BytesIO(base.encode(drawn, "png"))) as picture:
        assert picture.size[0] > 100
    assert [text.get_text() for text in [axis.title]] == [escape.figure(name)]
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


@pytest.mark.usefixtures("no_pictures")
def test_a_figure_or_table_that_fails_is_one_line_and_the_page_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no luck")

    helpers.toy(tmp_path)
    monkeypatch.setattr(accuracy, "accuracy", fail)
    monkeypatch.setattr(latex, "latex", fail)
    built = report.build(tmp_path, "toy-grid")
    assert "toy, accuracy: left out, RuntimeError: no luck" in built.damaged
    page = built.page.read_text()
    assert "toy, accuracy: left out, RuntimeError: no luck" in page
    assert "55.00 ± 5.00" in page
    assert (built.page.parent / "tables" / "toy-accuracy-last.md").is_file()
    assert not (built.page.parent / "tables" / "toy-accuracy-last.tex").exists()
    assert not (built.page.parent / "figures" / "toy-accuracy.png").exists()


@pytest.mark.usefixtures("no_pictures")
def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders that lead elsewhere, and a disk that takes nothing."""
    helpers.toy(tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out" / "toy-grid" / "tables").symlink_to(elsewhere)
    built = report.build(tmp_path / "out", "toy-grid")
    assert [
        line for line in built.damaged if "leads out of" in line and "more files cannot be written" in line
    ] == built.damaged
    assert list(elsewhere.iterdir()) == []
    assert built.written

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store, "write_bytes", refuse)
    built = report.build(tmp_path / "out", "toy-grid")
    assert not built.written
    assert sum("Read-only file system" in line for line in built.damaged) == 2
    assert main(["report", "--grid", "toy-grid", "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "55.00±5.00" in printed.out
    assert "report: " not in printed.out
    assert printed.err == ""


@pytest.mark.parametrize("grid", ["../elsewhere", "..", ".", "/tmp", "a/b", ""])
def test_the_name_of_a_grid_is_no_path(grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helpers.toy(tmp_path / "out")
    helpers.toy(tmp_path)
    for command in ("report", "status"):
        assert main([command, "--grid", grid, "--out", str(tmp_path / "out")]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_plan_of_somebody_else_is_one_line_for_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.grid_folder(tmp_path, "foreign")
    folder.mkdir(parents=True)
    text = yaml.safe_dump({"name": "foreign", "cells": [{"cell_id": "../../\x1b[31m"}]})
    (folder / "grid.yaml").write_text(f"{text}# sha256 {hashlib.sha256(text.encode()).hexdigest()}\n")
    for command in ("report", "status"):
        assert main([command, "--grid", "foreign", "--out", str(tmp_path)]) == 1
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        assert "grid.yaml is damaged" in printed
