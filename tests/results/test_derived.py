"""The files of a report: exactly its own, whose names stay what they are when the grid grows."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from headbench.results import derived, report, store
from headbench.results.tables.names import Names
from tests.results import helpers


def test_names_stay_what_they_are() -> None:
    first = Names()
    assert first.of([("toy", "fast")]) == {("toy", "fast"): "toy"}
    grown = Names(first.given)
    assert grown.of([("toy", "slow"), ("toy", "fast"), ("far", "fast")]) == {
        ("toy", "slow"): "toy-2",
        ("toy", "fast"): "toy",
        ("far", "fast"): "far",
    }
    assert grown.of([("toy",)], "-recipes") == {("toy",): "toy-recipes"}
    # What is gone leaves its name to what comes next.
    assert Names(grown.given).of([("toy", "slow"), ("toy", "long")]) == {
        ("toy", "slow"): "toy-2",
        ("toy", "long"): "toy",
    }


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plan(out: Path, recipes: Sequence[str]) -> Path:
    """A grid of cells that are there, of these recipes in their order; its folder."""
    cells = {recipe: helpers.facts("psc", 5, 0, recipe=recipe) for recipe in recipes}
    entries = [{"cell_id": recipe, "not_applicable": None} | cell for recipe, cell in cells.items()]
    helpers.write_grid(out, entries)
    return out / "toy-grid"


@pytest.mark.usefixtures("no_pictures")
def test_a_report_leaves_its_own_files_and_those_of_others(tmp_path: Path) -> None:
    """Without the first recipe the second one's files keep their names, and the first one's are gone, but what others
    have written stays.
    """
    for right, recipe in enumerate(("fast", "slow"), start=20):
        helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0, recipe=recipe), right, cell_id=recipe)
    folder = plan(tmp_path, ["fast", "slow"])
    report.build(tmp_path, "toy-grid")
    both = files(folder)
    assert {"tables/toy-recipes-last.md", "tables/toy-accuracy-last.csv", "figures/toy-2-accuracy.svg"} <= both.keys()
    (folder / "tables" / "mine.csv").write_text("mine")
    (folder / "tables" / "toy-accuracy-last.tex").write_text("changed by hand")
    plan(tmp_path, ["slow"])
    report.build(tmp_path, "toy-grid")
    left = files(folder)
    kept = {name for name in both if not name.startswith(("tables/toy-", "figures/toy-")) or "/toy-2-" in name}
    assert left.keys() == kept | {"tables/mine.csv", "tables/toy-accuracy-last.tex"}
    assert left["tables/toy-2-accuracy-last.csv"] == both["tables/toy-2-accuracy-last.csv"]


def test_no_list_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    (tmp_path / "precious").write_bytes(b"x")
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    names = ["../precious", str(tmp_path / "precious"), "own"]
    store.write_checked(folder / derived.LIST, {"files": dict.fromkeys(names, digest), "names": {}})
    (folder / "own").write_bytes(b"x")
    derived.settle(folder, derived.written(folder), {}, {})
    assert [path.name for path in sorted(tmp_path.rglob("*")) if path.is_file()] == ["files.json", "precious"]
    store.write_checked(folder / derived.LIST, {"files": ["own"], "names": {}})
    assert derived.written(folder) == derived.Written()
