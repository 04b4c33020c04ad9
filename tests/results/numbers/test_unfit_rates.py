"""Unfit learning rates: which cells are marked, and that the list is what the docs measure."""

import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from headbench.results import answers, differences, grid_rows, recorded, store
from headbench.results.numbers import unfit_rates
from headbench.results.tables import versus
from headbench.runners.grid import config, overrides
from tests.results import helpers

DOC = Path(__file__).parents[3] / "docs" / "recipes.md"
HALF = "whitened_convnet(norm_scale=True, widths=16-48-64)"
# What the docs' tables are of: data set, backbone, and recipe by rate.
TABLES: list[tuple[str, str, dict[str, str]]] = [
    (
        "cifar100",
        "whitened_convnet(norm_scale=True, widths=32-96-128)",
        {"0.1": "fast-narrow2(lr=0.1)", "0.2": "fast-narrow2", "0.4": "fast-narrow2(lr=0.4)"},
    ),
    (
        "fashion-mnist",
        HALF,
        {
            "0.1": "fast-narrow2(epochs=2, lr=0.1)",
            "0.2": "fast-narrow2(epochs=2)",
            "0.4": "fast-narrow2(epochs=2, lr=0.4)",
        },
    ),
    (
        "digits",
        "fast_convnet(widths=16-32-64)",
        {rate: f"fast(batch_size=64, epochs=12, flip=False, lr={rate}, pad=0)" for rate in ("0.025", "0.05", "0.1")},
    ),
    (
        "cifar10",
        HALF,
        {
            "0.1": "fast-narrow2(epochs=3, lr=0.1)",
            "0.2": "fast-narrow2(epochs=3)",
            "0.4": "fast-narrow2(epochs=3, lr=0.4)",
        },
    ),
]
UNFIT = {
    "dataset": "digits",
    "backbone": "fast_convnet(widths=16-32-64)",
    "recipe": "fast(batch_size=64, epochs=12, flip=False, lr=0.05, pad=0)",
    "head_label": "hpn",
    "feature_dim": 2,
    "imbalance_factor": 1.0,
    "protocol": "holdout-0.1",
    "projection": "linear",
    "freeze": "none",
    "status": "done",
    "tuned": 0.0,
    "imported": None,
    "health": "ok",
}
LISTED = {
    (entry.dataset, entry.backbone, entry.recipe, head, dim)
    for entry in unfit_rates.load()
    for head, dims in entry.heads.items()
    for dim in dims
}


def measured() -> list[list[list[str]]]:
    """The cells of the tables of the section on rates."""
    _, _, section = DOC.read_text().partition("## Half and twice the learning rate")
    tables = re.findall(r"((?:^\|.*\n)+)", section.partition("\n## ")[0], re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|\n ").split("|")] for line in table.splitlines()] for table in tables
    ]


def test_the_list_has_every_rate_whose_half_or_double_is_more_than_two_points_better_and_no_other() -> None:
    found = set()
    for (dataset, backbone, recipes), (top, _, *lines) in zip(TABLES, measured(), strict=True):
        dims = [int(title[4:].partition(":")[0]) for title in top[1::3]]
        rates = [title.rpartition(" ")[2] for title in top[1:]]
        assert set(rates) == set(recipes)
        for head, *numbers in lines:
            for place, dim in enumerate(dims):
                own = [float(number.replace("n/a", "nan")) for number in numbers[3 * place : 3 * place + 3]]
                found |= {
                    (dataset, backbone, recipes[rates[at]], head, dim)
                    for at, value in enumerate(own)
                    if any(other - value > 2 for other in own[max(at - 1, 0) : at + 2])
                }
    assert found == LISTED


def test_the_list_names_cells_of_the_grids_as_their_rows_do() -> None:
    there = set()
    half: dict[str, Any] = {"axes.backbone": {"name": "whitened_convnet", "widths": [16, 48, 64], "norm_scale": True}}
    fashion = half | {"axes.dataset": "fashion-mnist", "recipe.epochs": 2}
    for name, changes, rates in [
        ("digits-dims", {}, (0.025, 0.05, 0.1)),
        ("cifar100-dims", {}, (0.1, 0.4)),
        ("cifar10-dims", fashion, (0.1,)),
        ("cifar10-dims", half | {"recipe.epochs": 3}, (0.1, 0.2)),
    ]:
        contents, place = config.read_grid(name)
        for rate in rates:
            changed = overrides.derive(contents, {**changes, "recipe.lr": rate}, None)
            there |= {
                (cell.dataset_label, cell.backbone_label, cell.recipe_label, cell.head_label, cell.feature_dim)
                for cell in config.expand(config.parse_grid(changed, place), "auto")
            }
    assert there > LISTED


@pytest.mark.parametrize(
    ("change", "health"),
    [
        ({}, "unfit rate"),
        ({"health": None}, "unfit rate"),
        ({"health": "fell back; diverged"}, "fell back; diverged; unfit rate"),
        ({"health": "unfit rate"}, "unfit rate"),
        ({"tuned": math.nan}, "unfit rate"),
        ({"tuned": 12.0}, "ok"),
        ({"imported": "from elsewhere"}, "ok"),
        ({"imbalance_factor": 20.0}, "ok"),
        ({"protocol": "paper"}, "ok"),
        ({"protocol": "holdout-0.1 split-seed-5"}, "unfit rate"),
        ({"projection": "none"}, "ok"),
        ({"freeze": "backbone"}, "ok"),
        ({"status": "failed", "health": None}, None),
        ({"recipe": "fast"}, "ok"),
        ({"dataset": "cifar10"}, "ok"),
        ({"backbone": "fast_convnet"}, "ok"),
        ({"head_label": "hpn(loss_scale=3)"}, "ok"),
        ({"feature_dim": 3}, "ok"),
    ],
)
def test_the_cells_of_the_list_are_marked_and_no_others(change: dict[str, Any], health: str | None) -> None:
    rows = pd.DataFrame([UNFIT | change, UNFIT | {"head_label": "psc"}], index=[7, 3])
    before = rows.copy()
    marked = unfit_rates.mark(rows)
    assert [told if isinstance(told, str) else None for told in marked["health"]] == [health, "ok"]
    pd.testing.assert_frame_equal(rows, before)
    pd.testing.assert_frame_equal(marked.drop(columns="health"), before.drop(columns="health"))


def store_of(out: Path, gain: int = 0) -> None:
    """Write a grid with an unfit head, hpn; it gets ``gain`` more images right."""
    own = {name: UNFIT[name] for name in unfit_rates.load()[0].where}
    helpers.write_grid(
        out,
        [
            helpers.write_cell(out, helpers.facts(head, 2, seed, **own), right + seed % 2)
            for head, right in (("psc", 38), ("hpn", 8 + gain), ("square", 8))
            for seed in range(6)
        ],
    )


def test_no_verdict_rests_on_them(tmp_path: Path) -> None:
    store_of(tmp_path)
    rows = grid_rows.load(tmp_path, "toy-grid")
    last, known = rows[rows["selection"] == "last"], answers.Answers(tmp_path)
    parts = dict(list(last.groupby("head_label")))
    found = {head: differences.between(parts[head], parts["psc"], known) for head in ("hpn", "square")}
    marks = {head: own.marks for head, own in found.items() if own is not None}
    assert marks == {"hpn": "; ".join(f"hpn, seed {seed}: unfit rate" for seed in range(6)), "square": ""}


def test_a_head_may_be_compared_with_itself_at_an_unfit_rate(tmp_path: Path) -> None:
    sides = list[versus.Side]()
    for place, gain in enumerate((0, 20)):
        out = tmp_path / str(place)
        store_of(out, gain)
        sides.append(versus.Side(str(place), grid_rows.load(out, "toy-grid"), answers.Answers(out)))
    found = versus.compare(sides[0], sides[1])
    assert [line.partition(":")[0] for line in found.moved] == ["head hpn, d = 2"]
    assert found.open == []


def test_what_is_stored_has_no_such_mark_so_that_the_list_may_change(tmp_path: Path) -> None:
    store_of(tmp_path)
    assert set(grid_rows.load(tmp_path, "toy-grid")["health"]) == {"ok", "unfit rate"}
    assert set(grid_rows.stored(tmp_path, store.read_plan(tmp_path / "toy-grid"))["health"]) == {"ok"}
    for cell in store.read_plan(tmp_path / "toy-grid")["cells"]:
        helpers.describe(store.cell_folder(tmp_path, cell["cell_id"]), 1)
    file = recorded.record(tmp_path, "toy-grid", tmp_path / "measured")
    assert recorded.record(tmp_path, "toy-grid", tmp_path / "measured").read_text().count("unfit") == 0
    assert set(recorded.load(file)["health"]) == {"ok", "unfit rate"}
