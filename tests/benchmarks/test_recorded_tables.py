"""The tables of recorded rows: what a page on long tails shows, from files alone."""

import contextlib
import importlib
import io
from typing import Any

import pandas as pd
import pytest

from headbench.results import recorded
from headbench.runners.grid import config

# A script, not a module of the package.
recorded_tables = importlib.import_module("benchmarks.recorded_tables")
ACCURACY = {
    "psc": {25: 0.30, 50: 0.38, 150: 0.43},
    "ldam": {25: 0.25, 50: 0.42, 150: 0.44},
    "proco": {25: 0.35, 50: 0.4},
}
MEASURED = {
    "status": "done",
    "health": "ok",
    "selection": "last",
    "precision": "bf16",
    "protocol": "lt-val-0.02",
    "augmentation": "crop-flip-autoaugment-cutout",
    "device": "a GPU",
    "cells_per_device": 4,
}


def rows(epochs: int) -> list[dict[str, Any]]:
    """The rows of three heads and seeds on CIFAR-100, trained for so many epochs; proco takes twice the seconds."""
    contents, place = config.read_grid("lt-short")
    recipe = "lt-short" if epochs == 50 else {"base": "lt-short", "epochs": epochs}
    axes = contents["axes"] | {"recipe": [recipe], "dataset": ["cifar100"], "head": list(ACCURACY)}
    found = list[dict[str, Any]]()
    for cell in config.expand(config.parse_grid({**contents, "axes": axes, "without": []}, place), "fp32"):
        top1 = ACCURACY[cell.head].get(epochs)
        if top1 is not None:
            groups = {"many_accuracy": top1 + 0.2, "medium_accuracy": top1, "few_accuracy": top1 - 0.2}
            cost = {"train_seconds": 10.0 * (1 + (cell.head == "proco")), "image_views": 530_000 * epochs / 50}
            told = {"cell_id": f"{len(found)} {epochs}", "epochs": epochs, "top1": top1 + cell.seed / 100}
            found.append(cell.facts() | MEASURED | told | groups | cost | {"temperature": 1.5, "ece_temperature": 0.02})
    return found


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is printed of 50 and 150 epochs in one file and 25 and again 50 epochs in another."""
    folder, text = tmp_path_factory.mktemp("measured"), io.StringIO()
    short = pd.DataFrame([*rows(50), *rows(150)])
    short.iloc[::-1].to_csv(folder / "lt-short.csv", index=False)
    pd.DataFrame([*rows(25), *rows(50)]).to_csv(folder / "lt-short+3bf1d1.csv", index=False)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(text):
        patch.setattr(recorded, "FOLDER", folder)
        assert recorded_tables.main(["lt-short", "lt-short+3bf1d1", "--order", "psc", "ldam", "proco"]) == 0
    return text.getvalue()


def row(printed: str, *starts: str) -> list[list[str]]:
    """The cells of the lines that begin with these."""
    lines = [[text.strip() for text in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|"]
    return [cells for cells in lines if cells[: len(starts)] == list(starts)]


def test_groups_calibration_and_compute_are_shown_in_the_order_of_the_grid(printed: str) -> None:
    """Once for each recipe; a cell that two files have counts once."""
    titles, *_ = row(printed, "d", "head", "top-1")
    psc = dict(zip(titles, row(printed, "64", "psc", "39.00 ± 1.00", "58.00 ± 0.00")[0], strict=True))
    assert psc["few (< 20)"] == "18.00 ± 0.00"
    assert [psc[title] for title in ("ECE temperature", "T", "views in millions", "s / psc")] == [
        "2.00 ± 0.00",
        "1.500 ± 0.000",
        "0.53",
        "1.00",
    ]
    assert [cells[-1] for cells in row(printed, "64", "proco") if len(cells) == len(titles)] == ["2.00", "2.00"]
    heads = [cells[1] for cells in row(printed, "64") if len(cells) == len(titles)][2:5]
    assert heads == ["psc", "ldam(drw=True)", "proco"]


def test_recipes_and_orders_stand_side_by_side(printed: str) -> None:
    by_recipe = next(cells for cells in row(printed, "64", "psc") if " at " in cells[2])
    assert {cells.split(" at ")[1] for cells in by_recipe[2:]} == {"0.53", "1.59", "0.265"}
    orders = {cells[0]: cells[-1] for epochs in ("25", "50", "150") for cells in row(printed, epochs, "64")}
    assert orders == {
        "25": "proco 36.00 (n=3), psc 31.00 (n=3), ldam(drw=True) 26.00 (n=3)",
        "50": "ldam(drw=True) 43.00 (n=3), proco 41.00 (n=3), psc 39.00 (n=3)",
    }


def test_published_numbers_and_what_others_got_stand_beside(printed: str) -> None:
    cells = [cell for head in ("proco", "ldam(drw=True)") for line in row(printed, head) for cell in line]
    assert [any(cell.startswith(text) for cell in cells) for text in ("41.00 ± 1.00 / 52.80 ", "22.00 ± 0.00 / 20.22 ")]
    assert "(difference). cifar100" in printed
    assert "of 200 epochs, not 50, and so not compared" in printed
    assert "run again by others: 51.50" in printed
    assert "many, medium and few classes, by training images" in printed


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert recorded_tables.main(["cifar100-dimz"]) == 2
    assert "has no 'cifar100-dimz'; did you mean 'cifar100-dims'?" in capsys.readouterr().err
