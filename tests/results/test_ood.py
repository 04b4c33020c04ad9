"""A report on other data sets: what was measured, and where nothing was, that is said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from headbench.results import grid_rows, report, store
from headbench.results.numbers.ood import METRICS
from headbench.results.ood import cell_files
from headbench.results.tables.base import named_comparisons
from tests.results import helpers

SETS = [{"label": "flowers", "key": "0" * 16}, {"label": "weeds", "key": "1" * 16}]


@pytest.mark.usefixtures("no_pictures")
def test_tables_figure_and_files_say_what_was_measured_and_what_was_not(tmp_path: Path) -> None:
    cells = [
        helpers.write_cell(tmp_path, helpers.facts(head, 5, seed), 30) for head in ("psc", "etf") for seed in (0, 1)
    ]
    cells.append(helpers.write_cell(tmp_path, helpers.facts("hpn", 5, 0), 30))
    folders = [store.cell_folder(tmp_path, cell["cell_id"]) for cell in cells]
    values = np.random.default_rng(0).random((4, 2, len(METRICS)))
    for folder, own in zip(folders, values, strict=False):
        for one, numbers in zip(SETS, own, strict=True):
            measured = {"dataset": one["label"], "images": 9, "metrics": dict(zip(METRICS, numbers, strict=True))}
            cell_files.write(folder, one["key"], measured)
    (folders[3] / cell_files.name_of(SETS[1]["key"])).write_text("{}")
    store.write_plan(store.grid_folder(tmp_path, "toy-grid"), {"name": "toy-grid", "cells": cells, "ood_sets": SETS})

    rows = grid_rows.load(tmp_path, "toy-grid")
    last = rows[rows["selection"] == "last"].set_index("cell_id")
    assert set(last["ood"]) == {"flowers, weeds"}
    assert rows.loc[rows["selection"] == "best_test", ["ood", *METRICS]].isna().to_numpy().all()
    for cell, own in zip(cells[:3], values, strict=False):
        assert np.allclose(last.loc[cell["cell_id"], list(METRICS)].astype(float), own.mean(axis=0))
    assert last.loc[[cell["cell_id"] for cell in cells[3:]], list(METRICS)].isna().to_numpy().all()

    built = report.build(tmp_path, "toy-grid")
    tables = {table.name: table.cells for table in built.tables if "-ood" in table.name}
    assert list(tables) == ["toy-ood", "toy-ood-flowers", "toy-ood-weeds"]
    mean = 100 * values[:2].mean(axis=1)
    expected = f"{mean[:, 0].mean():.2f} ± {mean[:, 0].std(ddof=1):.2f}"
    assert tables["toy-ood"].loc[(5, "psc"), "AUROC probability"] == expected
    flowers = 100 * values[2:4, 0, 5]
    assert (
        tables["toy-ood-flowers"].loc[(5, "etf"), "FPR95 score"] == f"{flowers.mean():.2f} ± {flowers.std(ddof=1):.2f}"
    )
    assert tables["toy-ood-weeds"].loc[(5, "etf"), "FPR95 energy"] == f"{100 * values[2, 1, 4]:.2f} (n=1)"
    assert all(set(table.loc[[(5, "hpn")]].to_numpy().flat) == {"not computed"} for table in tables.values())
    (damaged,) = [line for line in built.damaged if "ood-" in line]
    assert damaged == f"{folders[3] / cell_files.name_of(SETS[1]['key'])} is damaged; its values count as not computed"

    listed = pd.read_csv(tmp_path / "toy-grid" / "ood.csv")
    assert listed["ood"].tolist() == ["flowers"] * 5 + ["weeds"] * 5
    assert np.allclose(listed.loc[:3, list(METRICS)], values[:, 0])
    page = built.page.read_text()
    section = page[page.index('id="out-of-distribution"') :]
    assert section.count("50 for who guesses") == 1  # of three tables
    assert section.index("toy-ood-weeds.csv") < section.index("toy-ood.png")
    assert (tmp_path / "toy-grid" / "figures" / "toy-ood.svg").is_file()


def test_a_grid_that_names_none_says_nothing(tmp_path: Path) -> None:
    helpers.write_grid(tmp_path, [helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0), 30)])
    rows = grid_rows.load(tmp_path, "toy-grid")
    assert rows[["ood", *METRICS]].isna().to_numpy().all()
    assert report._outside(named_comparisons(rows), rows, tmp_path, ()) == (([], {}, []), {})
