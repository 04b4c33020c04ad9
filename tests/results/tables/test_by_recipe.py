"""Accuracy by recipe: heads down, recipes across, and what each training showed."""

import math

import pandas as pd

from headbench.results.numbers.statistics import Bools
from headbench.results.tables import by_recipe
from tests.results import known

SHORT, LONG = "lt-short", "lt-short(epochs=150)"


def rows(heads: dict[tuple[str, str], tuple[float, float]]) -> tuple[pd.DataFrame, known.Given]:
    """Three seeds of each head and recipe, of this accuracy and so many image views."""
    made, cells = list[pd.DataFrame](), dict[str, Bools]()
    for number, ((head, recipe), (accuracy, views)) in enumerate(heads.items()):
        right = known.random(accuracy, number)
        part, _ = known.answered({(head, 64): right}, recipe=recipe, imbalance_factor=100.0, image_views=views)
        part["cell_id"] = part["cell_id"] + recipe
        cells |= dict(zip(part["cell_id"], right, strict=True))
        made.append(part)
    return pd.concat(made, ignore_index=True), known.Given(cells)


def test_a_short_and_a_long_training_stand_beside_each_other() -> None:
    frame, answers = rows(
        {
            ("psc", SHORT): (0.38, 542_400),
            ("proco", SHORT): (0.48, 1_627_200),
            ("psc", LONG): (0.43, 1_627_200),
        }
    )
    (table,) = by_recipe.tables(frame, answers, "last")
    assert table.name == "cifar100-recipes-last"
    assert table.cells.columns.tolist() == [SHORT, LONG]
    assert table.cells.index.tolist() == [(64, "psc"), (64, "proco")]
    own = 100 * frame[(frame["head_label"] == "psc") & (frame["recipe"] == LONG)]["top1"]
    assert table.cells.loc[(64, "psc"), LONG] == f"{own.mean():.2f} ± {own.std():.2f} at 1.627"
    assert str(table.cells.loc[(64, "psc"), SHORT]).endswith(" at 0.5424")
    assert table.cells.loc[(64, "proco"), LONG] == "-"
    assert table.bold[SHORT].to_dict() == {(64, "psc"): False, (64, "proco"): True}
    assert "cifar100, imbalance factor 100, b, projection linear, protocol p." in table.caption
    assert "recipe lt" not in table.caption


def test_views_that_are_unknown_are_not_shown() -> None:
    frame, answers = rows({("psc", SHORT): (0.38, math.nan), ("psc", LONG): (0.43, math.nan)})
    (table,) = by_recipe.tables(frame, answers, "last")
    assert not table.cells.map(lambda text: "at" in text).any(axis=None)
    assert "image views" not in table.caption


def test_one_recipe_has_no_such_table() -> None:
    frame, answers = rows({("psc", SHORT): (0.38, 1), ("hpn", SHORT): (0.43, 1)})
    assert by_recipe.tables(frame, answers, "last") == []


def test_a_table_of_a_selection_has_its_numbers() -> None:
    frame, answers = rows({("psc", SHORT): (0.38, 1), ("psc", LONG): (0.43, 1)})
    both = pd.concat([frame, frame.assign(selection="best_val", top1=0.25)], ignore_index=True)
    (table,) = by_recipe.tables(both, answers, "best_val")
    assert table.tidy["mean"].tolist() == [0.25, 0.25]
