"""Tables as golden text, from a store made by hand."""

import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from torchmetrics.functional.classification import multiclass_calibration_error

from headbench.results import columns, grid_rows, report, store
from headbench.results.answers import Answers
from headbench.results.numbers.calibration import fit_temperature
from headbench.results.tables import groups, latex, render
from headbench.results.tables import per_class as class_accuracies
from headbench.results.tables.base import Table, named_comparisons, unmarked
from headbench.results.tables.calibration import calibration
from headbench.results.tables.main import main_tables
from tests.results import helpers


@pytest.fixture
def out(tmp_path: Path) -> Path:
    helpers.toy(tmp_path)
    return tmp_path


def main_of(out: Path) -> list[Table]:
    return main_tables(named_comparisons(grid_rows.load(out, "toy-grid")), Answers(out))


def table(out: Path, name: str) -> Table:
    return next(made for made in main_of(out) if made.name == name)


def test_rows(out: Path) -> None:
    rows = grid_rows.load(out, "toy-grid")
    assert list(rows.columns) == columns.names()
    assert rows["status"].value_counts().to_dict() == {"done": 16, "not_applicable": 3, "failed": 1}
    assert rows.loc[rows["status"] == "failed", "error"].tolist() == ["RuntimeError: no luck"]
    assert rows.loc[
        (rows["head"] == "psc") & (rows["selection"] == "last") & (rows["feature_dim"] == 2), "top1"
    ].tolist() == [0.5, 0.55, 0.6]
    assert rows["threads"].dtype == "Int64"


def test_accuracy_in_markdown(out: Path) -> None:
    assert render.markdown(table(out, "toy-accuracy-last")) == (
        "Top-1 test accuracy in %, last epoch, mean ± std over n = 3 seeds. toy, net, recipe fast, projection linear, "
        "protocol holdout-0.1.\n\n"
        "| head   | d = 2        | d = 5              |\n"
        "|:-------|:-------------|:-------------------|\n"
        "| psc    | 55.00 ± 5.00 | 90.00 ± 0.00       |\n"
        "| etf    | n/a          | 92.50 ± 3.54 (n=2) |\n"
    )


def test_a_long_name_does_not_hide_the_numbers_in_a_terminal(out: Path) -> None:
    made = table(out, "toy-accuracy-last")
    name = "dl2pa(assignment_period=0, batch_norm=True, loss=cross-entropy, prototypes=hpn-pgd)"
    cells, bold = (part.rename(index={"etf": name}) for part in (made.cells, made.bold))
    console = Console(width=60, file=io.StringIO())
    with console.capture() as captured:
        console.print(render.terminal(replace(made, cells=cells, bold=bold)))
    lines = captured.get().splitlines()
    assert "".join(line[:30].strip() for line in lines).replace(" ", "").endswith(name.replace(" ", ""))
    assert "55.00±5.00" in captured.get()
    assert "92.50±3.54 (n=2)" in captured.get()


def test_accuracy_in_latex(out: Path) -> None:
    text = latex.latex(table(out, "toy-accuracy-last"), {"etf": "ETF + DR"})
    assert text.startswith(
        "\\begin{table}\n\\centering\n\\caption{Top-1 test accuracy in \\%, last epoch, mean $\\pm$ std over n = 3 "
        "seeds.}\n\\label{tab:toy-accuracy-last}\n"
    )
    assert "psc & 55.00 $\\pm$ 5.00 & 90.00 $\\pm$ 0.00 \\\\\n" in text
    assert "ETF + DR & \\multicolumn{1}{c}{n/a} & 92.50 $\\pm$ 3.54 (n=2) \\\\\n\\bottomrule" in text


def test_numbers_in_latex_stand_by_their_points_and_have_minus_signs() -> None:
    cells = pd.DataFrame({"value": ["-45.46 [-46.1, 3.20]", "7.5 [1.25, 12.00]", "-"]}, index=["a", "b", "c"])
    cells.index.name = "head"
    printed = latex.latex(Table("made", "One. Two.", cells, unmarked(cells), cells), {})
    assert "a & $-$45.46 [$-$46.1\\phantom{0}, \\phantom{0}3.20] \\\\" in printed
    unsigned = "\\phantom{0}\\phantom{$-$}"
    assert f"b & {unsigned}7.5\\phantom{{0}} [\\phantom{{0}}\\phantom{{$-$}}1.25, 12.00] \\\\" in printed
    assert "\\caption{One.}" in printed
    assert "\\footnotesize\\raggedright Two." in printed


def test_the_head_that_others_are_compared_with_has_its_name_in_latex(out: Path) -> None:
    cells = pd.DataFrame({"minus psc [95 % interval]": ["+1.00"], "s / psc": ["2"], "minus psc-cosine": ["1"]})
    cells.index = pd.Index(["etf"], name="head")
    made = Table("made", "Accuracy minus that of psc in points. By psc.", cells, unmarked(cells), cells)
    printed = latex.latex(made, {"psc": "PSC", "etf": "ETF"})
    assert "minus PSC [95 \\% interval]" in printed
    assert "s / PSC}" in printed
    assert "minus psc-cosine}" in printed
    assert "\\caption{Accuracy minus that of PSC in points.}" in printed


def test_a_table_of_a_hundred_lines_is_several_in_latex() -> None:
    cells = pd.DataFrame({"d = 2": range(100)}, index=pd.Index(range(100), name="class"))
    parts = latex.latex(Table("tall", "Classes. A note.", cells, unmarked(cells), cells), {}).split("\\end{table}\n")
    assert len(parts) == 4
    assert [part.count(" \\\\\n") - 1 for part in parts[:3]] == [40, 40, 20]
    assert ["\\caption{Classes. Part 2 of 3.}\n\\label{tab:tall-2}" in part for part in parts[:3]] == [
        False,
        True,
        False,
    ]
    assert ["A note." in part for part in parts[:3]] == [False, False, True]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with booktabs")
@pytest.mark.usefixtures("no_pictures")
def test_every_table_compiles(tmp_path: Path) -> None:
    """Those of a data set with published numbers, footnotes, claims and groups."""
    heads = [(head, seed, right) for head, right in (("psc", 20), ("dl2pa", 25), ("hpn", 24)) for seed in (0, 1)]
    cells = [
        helpers.write_cell(tmp_path, helpers.facts(head, 50, seed, dataset="cifar100", imbalance_factor=20), right)
        for head, seed, right in heads
    ]
    cells += [
        helpers.write_cell(tmp_path, helpers.facts(head, 50, seed, dataset="cifar100"), right)
        for head, seed, right in heads
    ]
    helpers.write_grid(tmp_path, cells)
    files = sorted((report.build(tmp_path, "toy-grid").page.parent / "tables").glob("*.tex"))
    assert any("claims" in file.name for file in files)
    high = pd.DataFrame({"d = 2": [f"{row}.00" for row in range(100)]}, index=pd.Index(range(100), name="class"))
    tall = latex.latex(Table("tall", "Higher than a page.", high, unmarked(high), high), {})
    inputs = "\\clearpage\n".join([*(file.read_text() for file in files), tall])
    (tmp_path / "all.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{booktabs,graphicx}}\\begin{{document}}\n{inputs}\\end{{document}}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Undefined" not in done.stdout
    assert "Overfull" not in done.stdout
    assert "Float too large" not in done.stdout


def test_the_csv_holds_the_numbers(out: Path) -> None:
    tidy = table(out, "toy-accuracy-last").tidy.set_index(["head_label", "feature_dim"])
    assert [tidy.loc[("psc", 2), column] for column in ("mean", "std", "n")] == pytest.approx([0.55, 0.05, 3])
    assert tidy.loc[("etf", 2), "state"] == "not_applicable"


def test_calibration_equals_the_rows(out: Path) -> None:
    made = table(out, "toy-calibration-last")
    assert made.cells.columns.tolist() == [
        "top-1",
        "ECE raw",
        "ECE native",
        "ECE temperature",
        "floor",
        "smooth ECE",
        "T",
        "NLL",
        "Brier",
    ]
    assert made.cells.index.tolist() == [(2, "psc"), (5, "psc"), (5, "etf")]
    rows = grid_rows.load(out, "toy-grid")
    chosen, ends = (
        rows[(rows["head"] == "etf") & (rows["selection"] == "last")]["ece_native"],
        ["ece_temperature_low", "ece_temperature_high"],
    )
    assert (
        made.cells.loc[(5, "etf"), "ECE native"] == f"{100 * chosen.mean():.2f} ± {100 * chosen.std(ddof=1):.2f} (n=2)"
    )
    own = rows[(rows["head"] == "psc") & (rows["selection"] == "last") & (rows["feature_dim"] == 2)]
    mean, spread, low, high = (
        100 * value for value in (own["ece_temperature"].mean(), own["ece_temperature"].std(), *own[ends].mean())
    )
    assert made.cells.loc[(2, "psc"), "ECE temperature"] == f"{mean:.2f} ± {spread:.2f} [{low:.2f}, {high:.2f}]"
    assert made.cells.loc[(2, "psc"), "floor"] == f"{100 * own['ece_floor'].mean():.2f}"
    # Two common seeds separate nothing.
    assert not made.bold.to_numpy().any()


def test_a_temperature_from_few_images_is_flagged(tmp_path: Path) -> None:
    """Fewer than 1,000 in the cell, the caption and on the page; a native view has no temperature to flag."""
    for n_val, flagged in ((40, True), (999, True), (1000, False)):
        helpers.write_grid(tmp_path, [helpers.write_cell(tmp_path, helpers.facts("psc", 2, 0, n_val=n_val), 30)])
        made = table(tmp_path, "toy-calibration-last")
        assert made.cells["T"].iloc[0].endswith("*") == flagged
        assert (f"* Temperature fitted on {n_val} validation images" in made.caption) == flagged
    rows = grid_rows.load(tmp_path, "toy-grid").assign(temperature=np.nan, ece_temperature=np.nan, n_val=0)
    made = calibration(rows, Answers(tmp_path), "last", "by hand", "toy")
    assert "native view" in made.caption
    assert "*" not in made.caption
    assert made.cells["T"].tolist() == ["-"]


def test_dimensions_where_the_least_error_is_at_the_floor_are_named(tmp_path: Path) -> None:
    """There no error is bold, whatever the others are; a head alone at a dimension is ahead of nobody."""
    cells = [(head, dim) for dim in (2, 3) for head in ("psc", "etf")] + [("psc", 5)]
    written = [
        helpers.write_cell(tmp_path, helpers.facts(head, dim, seed), 30) for head, dim in cells for seed in range(3)
    ]
    helpers.write_grid(tmp_path, written)
    rows = grid_rows.load(tmp_path, "toy-grid").assign(ece_floor=0.02)
    rows["ece_temperature"] = np.where((rows["head"] == "psc") & (rows["feature_dim"] != 3), 0.02, 0.03)
    made = calibration(rows, Answers(tmp_path), "last", "by hand", "toy")
    assert "No ECE temperature is bold at d = 2, whatever the others are" in made.caption
    # A head that did not learn is not the best of anything.
    rows.loc[(rows["head"] == "psc") & (rows["feature_dim"] == 2), "health"] = "diverged"
    assert "is bold at" not in calibration(rows, Answers(tmp_path), "last", "by hand", "toy").caption


@pytest.mark.parametrize(("size", "end"), [(1e-6, "0.01"), (-1e-6, "100")])
def test_a_temperature_at_an_end_of_its_range_is_named(tmp_path: Path, size: float, end: str) -> None:
    """Of tiny scores, right or wrong in all but one image; that of other heads is a fit."""
    labels = np.arange(40) % 4
    logits = size * np.eye(4)[labels]
    logits[0] = size * np.eye(4)[(labels[0] + 1) % 4]
    fitted = fit_temperature(logits, labels)
    helpers.write_grid(
        tmp_path, [helpers.write_cell(tmp_path, helpers.facts(head, 2, 0), 30) for head in ("psc", "etf")]
    )
    rows = grid_rows.load(tmp_path, "toy-grid")
    rows.loc[rows["head"] == "etf", "temperature"] = fitted
    made = calibration(rows, Answers(tmp_path), "last", "by hand", "toy")
    assert f"{fitted:.2g}" == f"{float(end):.2g}"
    assert "No temperature in [0.01, 100] fits; T is an end of it: etf, d = 2." in made.caption


def test_variants_and_protocols_are_never_averaged(tmp_path: Path) -> None:
    cells = [helpers.write_cell(tmp_path, helpers.facts("psc", 2, 0), 20)]
    cells += [helpers.write_cell(tmp_path, helpers.facts("psc", 2, 0, head_label="psc(x=1)"), 30)]
    cells += [helpers.write_cell(tmp_path, helpers.facts("psc", 2, 1, recipe="fast(epochs=9)"), 40)]
    cells += [helpers.write_cell(tmp_path, helpers.facts("psc", 2, 0, dataset="other"), 10)]
    helpers.write_grid(tmp_path, cells)
    made = {one.name: one for one in main_of(tmp_path) if "accuracy-last" in one.name}
    assert list(made) == ["toy-accuracy-last", "toy-2-accuracy-last", "other-accuracy-last"]
    assert made["toy-accuracy-last"].cells["d = 2"].to_dict() == {"psc": "50.00", "psc(x=1)": "75.00"}
    assert made["toy-2-accuracy-last"].cells["d = 2"].to_dict() == {"psc": "100.00"}


def test_an_empty_store(tmp_path: Path) -> None:
    helpers.write_grid(tmp_path, [{"cell_id": "x", "not_applicable": None} | helpers.facts("psc", 2, 0)])
    assert len(grid_rows.load(tmp_path, "toy-grid")) == 0
    assert main_of(tmp_path) == []


def test_the_groups_of_a_long_tail_equal_the_rows(tmp_path: Path) -> None:
    helpers.toy(tmp_path, imbalance_factor=20)
    made = table(tmp_path, "toy-groups-last")
    titles = {
        "top1": "top-1",
        "many_accuracy": "many (> 100)",
        "medium_accuracy": "medium (20-100)",
        "few_accuracy": "few (< 20)",
        "many_range_accuracy": "many (range)",
        "medium_range_accuracy": "medium (range)",
        "few_range_accuracy": "few (range)",
        "ece_temperature": "ECE temperature",
        "temperature": "T",
        "train_seconds": "train s",
        "relative": "s / psc",
    }
    assert made.cells.columns.tolist() == list(titles.values())
    assert "imbalance factor 20" in made.caption
    assert "by training images (Liu et al., 2019) and by fixed class ranges" in made.caption
    rows = grid_rows.load(tmp_path, "toy-grid")
    chosen = rows[(rows["head"] == "psc") & (rows["selection"] == "last") & (rows["feature_dim"] == 2)]
    for metric, title in list(titles.items())[:8]:
        assert (
            made.cells.loc[(2, "psc"), title] == f"{100 * chosen[metric].mean():.2f} ± {100 * chosen[metric].std():.2f}"
        )
    assert made.cells.loc[(2, "psc"), "T"] == f"{chosen['temperature'].mean():.3f} ± {chosen['temperature'].std():.3f}"
    assert made.cells.loc[(2, "psc"), "train s"] == "1.0"
    assert made.cells["s / psc"].tolist() == ["1.00"] * len(made.cells)


def test_the_seconds_of_a_head_are_in_units_of_the_first_heads_at_the_same_dimension() -> None:
    """Where that was not trained at it, in none."""
    seconds = {(2, "psc"): 4.0, (5, "psc"): 10.0, (5, "etf"): 25.0, (7, "etf"): 30.0}
    index = pd.MultiIndex.from_tuples(seconds, names=["feature_dim", "head_label"])
    tidy = pd.Series(seconds.values(), index, name="mean").reset_index().assign(metric="train_seconds")
    assert groups._relative(index, tidy, "psc") == ["1.00", "1.00", "2.50", "-"]


@pytest.mark.parametrize(
    ("column", "value"), [("device", "GPU"), ("processor", "another"), ("threads", 8), ("cells_per_device", 2)]
)
def test_seconds_of_other_machines_are_in_no_units_of_the_first_head(tmp_path: Path, column: str, value: Any) -> None:
    helpers.toy(tmp_path, imbalance_factor=20)
    rows = grid_rows.load(tmp_path, "toy-grid")
    rows[column] = rows[column].astype(object).where(rows["head"] != "etf", value)
    made = groups.groups(rows, Answers(tmp_path), "last", "by hand", "toy")
    assert made.cells.columns[-1] == "train s"


def test_compute_stands_beside_the_groups_of_a_long_tail(tmp_path: Path) -> None:
    """Of results that do not tell it, the rows are empty."""
    entries = [
        helpers.write_cell(tmp_path, helpers.facts("psc", 3, seed, imbalance_factor=20), 30, compute=compute)
        for seed, compute in enumerate(({}, {"image_views": 542_400, "train_flops": 2.239e14}))
    ]
    helpers.write_grid(tmp_path, entries)
    made = table(tmp_path, "toy-groups-last")
    assert made.cells.loc[(3, "psc"), "views in millions"] == "0.5424 (n=1)"
    assert made.cells.loc[(3, "psc"), "PFLOP"] == "0.2239 (n=1)"
    assert "those of training" in made.caption
    rows = grid_rows.load(tmp_path, "toy-grid").drop_duplicates("cell_id").set_index("seed")
    assert rows["image_views"].isna().tolist() == [True, False]
    assert rows.loc[1, "train_flops"] == 2.239e14


def test_every_number_is_in_the_predictions(out: Path) -> None:
    """Accuracy, calibration and classes of etf at d = 5, seeds 0 and 1, from the stored logits by torch and
    torchmetrics.
    """
    found: dict[str, list[float]] = {}
    classes = []
    for seed in (0, 1):
        with np.load(out / "cells" / f"etf-5-{seed}-toy" / "predictions.npz") as stored:
            logits, labels = (
                torch.from_numpy(stored["last_test_logits"]).double(),
                torch.from_numpy(stored["test_labels"]),
            )
            held_out, held_labels = (
                torch.from_numpy(stored["val_logits"]).double(),
                torch.from_numpy(stored["val_labels"]),
            )
        temperatures = np.exp(np.linspace(np.log(0.05), np.log(5), 4001))
        temperature = float(
            min(temperatures, key=lambda t: torch.nn.functional.cross_entropy(held_out / t, held_labels).item())
        )
        p = (logits / temperature).softmax(dim=1)
        right = (logits.argmax(dim=1) == labels).double()
        numbers = {
            "top-1": 100 * right.mean(),
            "ece_native_plugin": multiclass_calibration_error(logits.softmax(dim=1), labels, num_classes=4, n_bins=15),
            "ece_temperature_plugin": multiclass_calibration_error(p, labels, num_classes=4, n_bins=15),
            "NLL": torch.nn.functional.cross_entropy(logits / temperature, labels),
            "Brier": ((p - torch.nn.functional.one_hot(labels, 4)) ** 2).sum(dim=1).mean(),
        }
        for name, value in numbers.items():
            found.setdefault(name, []).append(float(value))
        classes.append([100 * right[labels == c].mean().item() for c in range(4)])
    made = table(out, "toy-calibration-last").cells
    shown = dict(zip(made.columns, made.iloc[-1], strict=True))
    rows = grid_rows.load(out, "toy-grid")
    own = rows[(rows["head"] == "etf") & (rows["selection"] == "last") & (rows["status"] == "done")]
    for name in ("ece_native_plugin", "ece_temperature_plugin"):
        assert own[name].tolist() == pytest.approx(found.pop(name), abs=2e-4)
    for name, (first, second) in found.items():
        mean, spread = (float(part) for part in shown[name].removesuffix(" (n=2)").split(" ± "))
        assert (mean, spread) == pytest.approx(((first + second) / 2, abs(first - second) / 2**0.5), abs=0.006)
    assert table(out, "toy-accuracy-last").cells.loc["etf", "d = 5"] == shown["top-1"]
    by_class = class_accuracies.table(grid_rows.load(out, "toy-grid"), out, "", "toy").cells["etf, d = 5"]
    assert [float(text.split(" ± ")[0]) for text in by_class] == pytest.approx(
        [sum(values) / 2 for values in zip(*classes, strict=True)], abs=0.006
    )


def test_markdown_keeps_the_zeros_of_a_column_of_numbers(tmp_path: Path) -> None:
    helpers.write_grid(
        tmp_path,
        [helpers.write_cell(tmp_path, helpers.facts(head, 2, 0), right) for head, right in (("psc", 22), ("etf", 20))],
    )
    assert "| etf    | 50.00   |" in render.markdown(table(tmp_path, "toy-accuracy-last"))


@pytest.mark.usefixtures("no_pictures")
def test_an_absent_selection_is_said_to_be_one(tmp_path: Path) -> None:
    whole, broken = (helpers.write_cell(tmp_path, helpers.facts(head, 2, 0), 22) for head in ("psc", "etf"))
    helpers.write_grid(tmp_path, [whole, broken])
    folder = store.cell_folder(tmp_path, broken["cell_id"])
    result = json.loads((folder / "result.json").read_text())
    del result["selections"]["last"], result["checksum"], result["sha256"]
    store.write_result(folder, result | {"absent": {"last": "nothing to fit on"}}, [])
    assert table(tmp_path, "toy-accuracy-last").cells["d = 2"].tolist() == ["55.00", "absent"]
    assert "absent" not in table(tmp_path, "toy-accuracy-best_test").cells["d = 2"].tolist()
    assert "no row &#39;last&#39;: nothing to fit on" in report.build(tmp_path, "toy-grid").page.read_text()


@pytest.mark.usefixtures("no_pictures")
def test_a_pruned_cell_is_said_to_be_one(tmp_path: Path) -> None:
    pruned = helpers.facts("etf", 2, 0) | {"cell_id": "etf-pruned", "not_applicable": None}
    store.write_ending(store.cell_folder(tmp_path, "etf-pruned"), "pruned", "not worth it")
    helpers.write_grid(tmp_path, [helpers.write_cell(tmp_path, helpers.facts("psc", 2, 0), 22), pruned])
    assert table(tmp_path, "toy-accuracy-last").cells["d = 2"].tolist()[1:] == ["pruned"]
    page = report.build(tmp_path, "toy-grid").page.read_text()
    assert "1 cells done, 0 failed, 1 pruned, 0 not applicable." in page
