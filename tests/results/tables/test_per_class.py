"""Accuracy by class as golden text."""

from pathlib import Path

from headbench import results
from headbench.results.tables import per_class, render
from tests.results import helpers


def test_the_text_of_the_table(tmp_path: Path) -> None:
    """Of 40 images, ten of each of four classes in turn, the first 36 or 38 are right: the last four, or two, are
    wrong.
    """
    helpers.toy(tmp_path)
    table = per_class.table(results.load(tmp_path, "toy-grid"), tmp_path, "By hand", "toy")
    assert render.markdown(table) == (
        "Accuracy by class in %, last epoch, mean ± std over n = 3 seeds. By hand.\n\n"
        "| class   | psc, d = 5   | etf, d = 5   |\n"
        "|:--------|:-------------|:-------------|\n"
        "| ant     | 90.00 ± 0.00 | 95.00 ± 7.07 |\n"
        "| bee     | 90.00 ± 0.00 | 95.00 ± 7.07 |\n"
        "| cat     | 90.00 ± 0.00 | 90.00 ± 0.00 |\n"
        "| dog     | 90.00 ± 0.00 | 90.00 ± 0.00 |\n"
    )


def test_each_head_is_shown_at_its_own_largest_dimension(tmp_path: Path) -> None:
    cells = [helpers.write_cell(tmp_path, helpers.facts(head, dim, 0), 20) for head, dim in (("psc", 5), ("hpn", 2))]
    cells.append(helpers.write_cell(tmp_path, helpers.facts("psc", 2, 0), 20))
    helpers.write_grid(tmp_path, cells)
    table = per_class.table(results.load(tmp_path, "toy-grid"), tmp_path, "By hand", "toy")
    assert table.cells.columns.tolist() == ["psc, d = 5", "hpn, d = 2"]


def test_cells_that_name_the_classes_differently_stand_in_one_table(tmp_path: Path) -> None:
    """Results of the first schema know the classes by their numbers; the names are those of the first cell."""
    cells = [
        helpers.write_cell(tmp_path, helpers.facts("psc", 2, 0), 20),
        helpers.write_cell(tmp_path, helpers.facts("psc", 2, 1), 22, class_names="0123"),
    ]
    helpers.write_grid(tmp_path, cells)
    table = per_class.table(results.load(tmp_path, "toy-grid"), tmp_path, "By hand", "toy")
    assert table.cells.index.tolist() == list(helpers.CLASSES)
    assert table.tidy["n"].tolist() == [2, 2, 2, 2]
