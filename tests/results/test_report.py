"""The report: every file, one page that needs no other, figures with the heads' colours."""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import Rectangle
from scipy.stats import binomtest

from headbench import results
from headbench.results import grid_rows, report
from headbench.results.answers import Answers
from headbench.results.compared import Comparison
from headbench.results.figures import base, drawers, reliability
from headbench.results.figures.pooled import Pooled, pool
from headbench.results.numbers import calibration
from headbench.runners.commands.main import main
from tests.results import helpers


@dataclass(frozen=True)
class Drawn:
    """A report with its pictures, as one process made it."""

    out: Path
    built: report.Report
    page: bytes


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    out = tmp_path_factory.mktemp("drawn")
    helpers.toy(out)
    built = report.build(out, "toy-grid")
    return Drawn(out, built, built.page.read_bytes())


def test_the_report_writes_every_file_and_one_self_contained_page(drawn: Drawn) -> None:
    folder = drawn.out / "toy-grid"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    figures = {
        f"figures/{name}.{form}"
        for name in (
            *(f"toy-{name}" for name in ("accuracy", "ece", "reliability", "collapse", "differences", "images")),
            *("toy-confusion", "toy-curves", "sensitivity"),
        )
        for form in ("png", "svg", "pdf")
    }
    names = (
        "toy-accuracy-last",
        "toy-accuracy-best_test",
        "toy-calibration-last",
        "toy-groups-last",
        "toy-pairs-last",
        "toy-collapse",
        "toy-classes",
        "ranks-last",
    )
    tabled = {f"tables/{name}.{form}" for name in names for form in ("md", "tex", "csv")}
    assert files == figures | tabled | {"grid.yaml", "results.csv", "results.parquet", "files.json", "report.html"}
    page = drawn.page.decode()
    assert not re.search(r"src=[\"'](?!data:)", page)
    assert {link for link in re.findall(r'<a href="([^#"]*)"', page) if link} == figures | tabled
    assert not re.search(r'<image [^>]*href="(?!data:image/png)', page)
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(re.findall(r'id="([^"]*)"', page))
    assert page.count("<svg") + page.count("<img") == 9
    assert "<title>psc, d = 2: 55.00 ± 5.00 %</title>" in page
    for text in (
        "55.00 ± 5.00",
        "RuntimeError: no luck",
        "a simplex needs d &gt;= 3",
        "8 cells done, 1 failed, 3 not applicable, 1 not yet trained.",
    ):
        assert text in page


@pytest.mark.usefixtures("no_pictures")
def test_the_copies_on_disk_equal_the_frame(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    rows = report.build(tmp_path, "toy-grid").rows
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "toy-grid" / "results.parquet"), rows)
    read = pd.read_csv(tmp_path / "toy-grid" / "results.csv")
    assert read["top1"].tolist() == pytest.approx(rows["top1"].tolist(), nan_ok=True)
    pd.testing.assert_frame_equal(results.load(tmp_path, "toy-grid"), rows)


def test_a_report_without_a_finished_cell(tmp_path: Path) -> None:
    helpers.write_grid(tmp_path, [{"cell_id": "x", "not_applicable": None} | helpers.facts("psc", 2, 0)])
    assert "No cell is done yet" in report.build(tmp_path, "toy-grid").page.read_text()


def test_many_comparisons_are_drawn_in_parallel_to_the_same_bytes(
    drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each report of the same rows is the same file."""
    monkeypatch.setattr(drawers, "MANY", 1)
    second = report.build(drawn.out, "toy-grid")
    assert second.page.read_bytes() == drawn.page
    assert [table.name for table in second.tables] == [table.name for table in drawn.built.tables]


def test_ranks_are_of_one_recipe_each(tmp_path: Path, no_pictures: None) -> None:
    """Averaged, an order that turns around between two budgets would look like a tie."""
    cells = list[dict[str, Any]]()
    for recipe, rights in {"fast/4": (30, 20, 10), "fast": (20, 30)}.items():
        for dim, (head, right) in itertools.product((2, 5), zip(("psc", "hpn", "etf"), rights, strict=False)):
            own = helpers.facts(head, dim, 0, recipe=recipe)
            cells.append(helpers.write_cell(tmp_path, own, right, cell_id=f"{head}-{dim}-{len(cells)}"))
    helpers.write_grid(tmp_path, cells)
    built = report.build(tmp_path, "toy-grid")
    first, second = (table for table in built.tables if table.name.startswith("ranks"))
    assert [first.name, second.name] == ["ranks-last", "ranks-2-last"]
    assert first.caption.endswith(" Recipe fast/4.")
    assert second.caption.endswith(" Recipe fast. Not trained by it: etf.")
    assert first.cells["average rank"].to_dict() == {"psc": "1.00", "hpn": "2.00", "etf": "3.00"}
    assert second.cells["average rank"].to_dict() == {"hpn": "1.00", "psc": "2.00"}


def comparison(rows: pd.DataFrame, out: Path) -> Comparison:
    """A comparison as figures take it."""
    return Comparison(rows, Answers(out), out, "by hand", "toy")


def heads(*labels: str) -> dict[str, str]:
    """Names of heads by their labels."""
    return {label: label.split("(")[0] for label in labels}


def test_a_head_keeps_its_colour_whatever_else_is_drawn() -> None:
    alone, together = base.styles({"dl2pa": "dl2pa"}), base.styles(heads("psc", "mine", "dl2pa", "hpn(loss_scale=2.0)"))
    assert alone["dl2pa"] == together["dl2pa"]
    assert len({look.colour for look in together.values()}) == len({look.dash for look in together.values()}) == 4
    form = "word2vec(vectors=minilm)"
    assert base.styles({form: "word2vec"})[form] == base.styles({"word2vec": "word2vec"})["word2vec"]
    pair = base.styles(heads("hpn(loss_scale=2.0)", "hpn"))
    assert pair["hpn"] == base.styles({"hpn": "hpn"})["hpn"] != pair["hpn(loss_scale=2.0)"]


def test_no_two_heads_of_a_large_grid_look_alike() -> None:
    many = heads("psc", "word2vec", "hpn", "etf", "dl2pa", *(f"head-{number}" for number in range(45)))
    assert len(set(base.styles(many).values())) == 50


def test_the_reliability_diagram_draws_the_bins(tmp_path: Path) -> None:
    """Bar heights, gaps and histogram equal the pooled predictions' bins.

    Each bar has the interval of one seed's images.
    """
    helpers.toy(tmp_path)
    rows = grid_rows.load(tmp_path, "toy-grid")
    pooled, damaged = pool(rows, tmp_path)
    assert damaged == []
    figure = reliability.side_by_side(pooled, comparison(rows, tmp_path)).figure
    above, _, below, _ = figure.axes
    heights = [patch.get_height() for patch in below.patches if isinstance(patch, Rectangle)]
    bars = sum(height > 0 for height in heights)
    assert sum(heights) == pytest.approx(1)
    shown, gaps, intervals = above.containers
    assert len(shown) == len(gaps) == bars
    assert len(heights) == calibration.BINS
    assert pooled["psc"].view == "temperature view, T of 40 images"
    assert isinstance(intervals, ErrorbarContainer)
    used = pooled["psc"].bins.counts > 0
    for segment, accuracy, count in zip(
        intervals.lines[2][0].get_segments(),
        pooled["psc"].bins.accuracy[used],
        pooled["psc"].bins.counts[used] / 3,
        strict=True,
    ):
        exact = binomtest(round(accuracy * count), round(count)).proportion_ci(method="wilson")
        if count == round(count):
            assert segment[:, 1] == pytest.approx([exact.low, exact.high], abs=1e-7)


def test_a_bin_of_three_images_is_paler_than_one_of_three_thousand() -> None:
    bins = calibration.Bins(np.linspace(0, 1, 3), np.array([3, 3000]), np.array([0.3, 0.9]), np.array([1 / 3, 0.9]))
    curve = np.full((2, 5), np.nan)
    pooled = {"psc": Pooled(np.zeros((2, 2), int), bins, curve, 5, "native view", 1, "ECE 0.00 %")}
    rows = pd.DataFrame({"head": ["psc"], "head_label": ["psc"]})
    figure = reliability.side_by_side(pooled, comparison(rows, Path())).figure
    few, many = figure.axes[0].containers[0]
    assert few.get_alpha() < 0.3
    assert many.get_alpha() > 0.95
    assert [gap.get_alpha() for gap in figure.axes[0].containers[1]] == [few.get_alpha(), many.get_alpha()]


@pytest.mark.usefixtures("no_pictures")
def test_one_ece_on_a_page(tmp_path: Path) -> None:
    """The diagrams print what the calibration table prints, and no other number."""
    helpers.toy(tmp_path)
    built = report.build(tmp_path, "toy-grid")
    made = next(table for table in built.tables if table.name == "toy-calibration-last").cells
    pooled, _ = pool(built.rows, tmp_path)
    figure = reliability.side_by_side(pooled, comparison(built.rows, tmp_path)).figure
    for axis, head in zip(figure.axes, pooled, strict=False):
        printed = axis.get_title().partition("\n")[2]
        number, floor = (
            str(made.loc[(5, head), title]).removesuffix(" (n=2)") for title in ("ECE temperature", "floor")
        )
        assert printed.replace("\n[", " [") == f"ECE {number} %\nfloor {floor} %"


@pytest.mark.usefixtures("no_pictures")
def test_a_result_of_other_images_than_the_grids_takes_no_table_away(tmp_path: Path) -> None:
    """Its checksum and schema are right, but its answers cannot stand beside those of the other seeds."""
    helpers.toy(tmp_path)
    names = [table.name for table in report.build(tmp_path, "toy-grid").tables]
    helpers.write_cell(tmp_path, helpers.facts("psc", 5, 1, n_test=39), 36)
    again = report.build(tmp_path, "toy-grid")
    assert [table.name for table in again.tables] == names
    assert "psc-5-1-toy/result.json is not of the grid&#39;s cell (n_test); remove it" in again.page.read_text()
    assert again.damaged == []


@pytest.mark.usefixtures("no_pictures")
def test_a_page_that_cannot_be_written_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helpers.toy(tmp_path)
    (tmp_path / "toy-grid" / "report.html").mkdir()
    assert main(["report", "--grid", "toy-grid", "--out", str(tmp_path)]) == 1
    assert "report.html cannot be written" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("name", ["data_fingerprint", "num_classes", "n_test", "feature_dim", "seed"])
def test_a_result_of_another_cell_is_none_of_the_grids(name: str, tmp_path: Path) -> None:
    cell = helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0), 30)
    helpers.write_grid(tmp_path, [cell | {name: "other" if name == "data_fingerprint" else cell[name] + 1}])
    (row,) = grid_rows.load(tmp_path, "toy-grid").to_dict("records")
    assert row["status"] == "failed"
    assert f"is not of the grid's cell ({name}); remove it" in row["error"]


def test_what_an_earlier_harness_did_not_tell_is_as_usual_or_unknown(tmp_path: Path) -> None:
    """It compiled nothing; which processor it ran on is not known."""
    helpers.write_grid(tmp_path, [helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0), 30)])
    rows = grid_rows.load(tmp_path, "toy-grid")
    assert set(rows["compile"]) == {"off"}
    assert rows["processor"].isna().all()
