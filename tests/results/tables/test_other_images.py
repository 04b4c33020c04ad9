"""Cells of other images under the same name, as of a folder that has grown, stand in no mean, test or rank together."""

import pandas as pd
import pytest

from headbench.results import report
from headbench.results.figures import imbalance
from headbench.results.numbers.statistics import Bools
from headbench.results.tables import by_compute, by_recipe, paper_claims, published, ranks
from headbench.results.tables.names import Names
from tests.results import known

# Accuracy by data, head and recipe. Of the data the first has fewer test images.
ACCURACY = {
    ("abc", "psc", "fast"): 0.9,
    ("abc", "dl2pa", "fast"): 0.8,
    ("abc", "psc", "fast(epochs=5)"): 0.7,
    ("abc", "dl2pa", "fast(epochs=5)"): 0.6,
    ("other", "psc", "fast"): 0.3,
    ("other", "dl2pa", "fast"): 0.4,
    ("other", "psc", "fast(epochs=5)"): 0.1,
    ("other", "dl2pa", "fast(epochs=5)"): 0.2,
}


@pytest.fixture
def grown() -> tuple[pd.DataFrame, known.Given]:
    made, cells = list[pd.DataFrame](), dict[str, Bools]()
    for number, ((data, head, recipe), accuracy) in enumerate(ACCURACY.items()):
        right = known.random(accuracy, number, images=500 if data == "abc" else 600)
        part, _ = known.answered({(head, 50): right}, recipe=recipe, data_fingerprint=data, dataset_name="cifar100")
        part = part.assign(backbone_name="resnet32", backbone_options="{}")
        part["cell_id"] = part["cell_id"] + recipe + data
        part["train_flops"] = 1e15 if recipe == "fast" else 5e14
        cells |= dict(zip(part["cell_id"], right, strict=True))
        made.append(part.assign(n_val=0, image_views=1e6, train_seconds=1.0, augmentation="crop-flip"))
    return pd.concat(made, ignore_index=True), known.Given(cells)


def test_by_recipe_and_by_compute(grown: tuple[pd.DataFrame, known.Given]) -> None:
    rows, answers = grown
    for tables in (by_recipe.tables(rows, answers, "last"), by_compute.tables(rows, "last")):
        means = [sorted(table.tidy[table.tidy["metric"] == "top1"]["mean"].round(1)) for table in tables]
        assert means == [[0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.4]]
        assert len({table.name for table in tables}) == 2


def test_ranks(grown: tuple[pd.DataFrame, known.Given]) -> None:
    found, left_out = ranks.conditions(grown[0], "last")
    assert [own.rows["data_fingerprint"].unique().tolist() for own in found] == [["abc"], ["abc"], ["other"], ["other"]]
    assert left_out == []


def test_claims(grown: tuple[pd.DataFrame, known.Given]) -> None:
    checked = paper_claims.check(*grown)
    own = checked[(checked["id"] == "dl2pa-above-psc") & checked["n"].notna()]
    assert own["n"].tolist() == [3, 3, 3, 3]
    assert own["mean"].round(-1).tolist() == [-10, -10, 10, 10]


def test_published(grown: tuple[pd.DataFrame, known.Given]) -> None:
    tables = published.tables(grown[0][grown[0]["recipe"] == "fast"], "last")
    assert [sorted(table.tidy["mean"].dropna().round(1)) for table in tables] == [[0.8, 0.9], [0.3, 0.4]]


def test_accuracy_over_the_imbalance_factor(
    grown: tuple[pd.DataFrame, known.Given], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = list[list[str]]()
    monkeypatch.setattr(
        imbalance, "imbalance", lambda part, _: drawn.append(part["data_fingerprint"].unique().tolist())
    )
    rows = pd.concat([grown[0], grown[0].assign(imbalance_factor=100.0)])
    report._against_imbalance(rows[rows["recipe"] == "fast"], Names())
    assert drawn == [["abc"], ["other"]]
