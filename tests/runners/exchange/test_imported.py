"""A classifier from elsewhere as a cell of a grid: its numbers, what its labels are checked against, its page."""

import dataclasses
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import headbench
from headbench.core.errors import UserError
from headbench.data import DATASETS
from headbench.data.splits import Protocol, partition
from headbench.results import differences, report, store
from headbench.results.answers import Answers
from headbench.results.figures import pooled
from headbench.results.numbers import metrics
from headbench.results.tables.calibration import calibration
from headbench.runners.commands.main import main
from headbench.runners.exchange import imported, reference, score_files
from headbench.runners.execution import cell as cells
from headbench.runners.execution import launch
from headbench.runners.execution.options import RunOptions
from headbench.runners.execution.plan import Planned
from tests.results import helpers
from tests.runners.exchange.helpers import LABELS, LOGITS, VAL_LABELS, VAL_LOGITS, npz
from tests.runners.helpers import CPU, cell, digits, grid, planned


def bring(
    file: Path, out: Path, dataset: str = "toy", grid: str = "imported", data: Path | None = None, **about: Any
) -> imported.Imported:
    """Import a file, by default as the head ``mine``."""
    told = imported.About(**{"head_label": "mine"} | about)
    given = score_files.read(file)
    return imported.write(score_files.told(file), given, reference.Named(dataset, {}, dataset), told, out, grid, data)


def last(out: Path, cell_id: str) -> dict[str, Any]:
    result = store.read_result(store.cell_folder(out, cell_id))
    assert result is not None
    found: dict[str, Any] = result["selections"]["last"]
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Planned]:
    """A folder of runs with one cell that the harness trained on the digits."""
    out = tmp_path_factory.mktemp("trained")
    (one,) = planned(cell("dl2pa"))
    cells.run(one, digits(), store.cell_folder(out, one.cell_id), CPU, lambda _: None, keep_weights=False)
    entry = {"cell_id": one.cell_id, "point": one.cell.point, "not_applicable": None} | one.facts
    helpers.write_grid(out, [entry], "tiny")
    return out, one


def test_the_scores_that_the_harness_stored_give_its_metrics_to_the_bit(
    trained: tuple[Path, Planned], tmp_path: Path
) -> None:
    out, one = trained
    own = last(out, one.cell_id)
    with np.load(store.cell_folder(out, one.cell_id) / "predictions.npz") as arrays:
        scores = {name: arrays[name] for name in ("last_test_logits", "test_labels", "val_logits", "val_labels")}
    file = npz(tmp_path, **scores, native_scale=own["native_scale"], class_counts=digits().nominal.numpy())
    # The data set is bundled, so that any folder has it.
    found = last(out, bring(file, out, "digits", data=tmp_path).cell_id)
    same = [*metrics.INTERVALS, "top1", "top5", "macro_accuracy", "many_accuracy", "temperature", "smooth_ece", "mce"]
    assert {*same, "per_class_accuracy", "correct", "predictions_digest", "ece_raw_low", "nll_high"} <= own.keys()
    training = {"epoch", "train_loss", *(name for name in own if name.startswith(("nc", "fitted_")))}
    assert {name: found[name] for name in own.keys() - training} == {name: own[name] for name in own.keys() - training}


def test_evaluate_gives_the_same_numbers(tmp_path: Path) -> None:
    file = npz(tmp_path, logits=LOGITS, labels=LABELS, val_logits=VAL_LOGITS, val_labels=VAL_LABELS)
    found = bring(file, tmp_path).measured
    expected = headbench.evaluate(LOGITS, LABELS, VAL_LOGITS, VAL_LABELS)
    assert {name: found[name] for name in expected} == expected
    assert np.isnan(found["many_accuracy"])


def test_labels_are_those_of_the_data_set(
    trained: tuple[Path, Planned], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reference.at_hand(reference.named("digits"), None) is not None  # they are bundled; from here on they are not
    monkeypatch.setattr(reference, "bundled", lambda _: False)
    truth = digits().test.labels.numpy()
    scores = np.eye(10)[truth] - 0.5
    swapped = truth.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    wrong = {
        "there are scores of 359 images, and .* has 360 test images": (scores[1:], truth[1:]),
        "there are scores of 11 classes, and .* has 10": (np.eye(11)[truth] - 0.5, truth),
        "2 of 360 differ, the first in row 0 .* the same in another order": (scores, swapped),
    }
    for data, source in ((tmp_path, "the data set 'digits'"), (None, f"cell {trained[1].cell_id}")):
        for message, (logits, labels) in wrong.items():
            with pytest.raises(UserError, match=message) as caught:
                bring(npz(tmp_path, logits=logits, labels=labels), trained[0], "digits", data=data)
            assert source in str(caught.value)
    found = bring(npz(tmp_path, logits=scores, labels=truth), trained[0], "digits", grid="known", head_label="oracle")
    assert found.source.startswith("cell ")
    assert np.isnan(found.measured["many_accuracy"])
    file = npz(tmp_path, logits=scores, labels=truth)
    # The data set itself tells the training images of each class.
    whole = bring(file, trained[0], "digits", data=tmp_path, head_label="oracle", seed=1)
    assert whole.measured["many_accuracy"] == 1
    (row,) = headbench.load(trained[0], "known").to_dict("records")
    assert (row["data_fingerprint"], row["n_train"]) == (digits().outline.fingerprint, digits().outline.n_train)


def test_the_columns_are_the_classes_of_the_data_set(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    rows = "\n".join(f"{label},1,2,3,-4" for label in LABELS)
    (tmp_path / "s.csv").write_text(f"label,ant,cat,bee,dog\n{rows}\n")
    with pytest.raises(UserError, match="in its order: 'cat' for 'bee', 'bee' for 'cat'"):
        bring(tmp_path / "s.csv", tmp_path)
    (tmp_path / "s.csv").write_text(f"label,ant,bee,cat,dog\n{rows}\n")
    assert bring(tmp_path / "s.csv", tmp_path).source.startswith("cell psc-2-0-toy (psc on toy)")


def test_a_cell_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    first = bring(npz(tmp_path), tmp_path)
    before = (store.cell_folder(tmp_path, first.cell_id) / "result.json").read_bytes()
    with pytest.raises(UserError, match="there already, with the same scores, .* grid 'imported' lists it"):
        bring(npz(tmp_path), tmp_path)
    with pytest.raises(UserError, match="with other scores, and is not overwritten; give another --seed"):
        bring(npz(tmp_path, logits=2 * LOGITS, labels=LABELS), tmp_path)
    # Another grid may list it too, and another seed is another cell.
    assert bring(npz(tmp_path), tmp_path, grid="other").cell_id == first.cell_id
    assert bring(npz(tmp_path), tmp_path, seed=1).cell_id != first.cell_id
    assert (store.cell_folder(tmp_path, first.cell_id) / "result.json").read_bytes() == before
    assert len(headbench.load(tmp_path, "imported")) == 2


def test_a_cell_that_is_there_is_not_taken_for_one_of_other_held_out_images_scale_or_counts(tmp_path: Path) -> None:
    """Its numbers would be those of the first import, whatever is printed."""
    test: dict[str, Any] = {"logits": LOGITS, "labels": LABELS}
    val: dict[str, Any] = {"val_logits": VAL_LOGITS, "val_labels": VAL_LABELS}
    bring(npz(tmp_path, **test), tmp_path)
    for more, what in (
        (val, "held-out images"),
        ({"native_scale": 5.0}, "native_scale"),
        ({"class_counts": [9] * 4}, "class_counts"),
    ):
        with pytest.raises(UserError, match=f"is there already, with other {what}, and is not overwritten"):
            bring(npz(tmp_path, **test, **more), tmp_path, grid="other")
    bring(npz(tmp_path, **test, **val), tmp_path, seed=1)
    with pytest.raises(UserError, match="with other held-out images"):
        bring(npz(tmp_path, **test), tmp_path, grid="other", seed=1)
    assert bring(npz(tmp_path, **test, **val), tmp_path, grid="other", seed=1).measured["temperature"] > 0


def test_of_two_imports_of_one_name_at_once_into_two_grids_one_is_refused(tmp_path: Path) -> None:
    files = [npz(tmp_path, f"{n}.npz", logits=(1 + n) * LOGITS, labels=LABELS) for n in range(4)]

    def one(number: int) -> str:
        try:
            return bring(files[number], tmp_path / "runs", grid=f"grid-{number}").cell_id
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(one, range(4)))
    assert sum("with other scores, and is not overwritten" in line for line in said) == 3


def test_it_is_compared_with_trained_cells_that_are_described_alike(tmp_path: Path, no_pictures: None) -> None:
    """The page and the rows say that it was imported; cells on other images are a comparison of their own."""
    helpers.toy(tmp_path)
    alike: dict[str, Any] = {name: helpers.FACTS[name] for name in "backbone recipe protocol projection".split()} | {
        "feature_dim": 5
    }
    for seed in range(3):
        found = bring(npz(tmp_path), tmp_path, grid="toy-grid", seed=seed, **alike)
    assert found.beside == ["psc", "etf"]
    helpers.write_cell(tmp_path, helpers.facts("far", 5, 0, data_fingerprint="other"), 10)
    entry = {"cell_id": "far-5-0-toy", "not_applicable": None, **helpers.facts("far", 5, 0, data_fingerprint="other")}
    contents = store.read_plan(tmp_path / "toy-grid")
    store.write_plan(tmp_path / "toy-grid", contents | {"cells": [*contents["cells"], entry]})
    built = report.build(tmp_path, "toy-grid")
    (ranks,) = (line for line in built.damaged if "etf-5-2" not in line)
    # Of other images: no condition has all heads.
    assert "toy, data fingerprint abc d = 5 (far not trained)" in ranks
    pairs = next(table for table in built.tables if table.name == "toy-pairs-last")
    assert (5, "mine") in pairs.cells.index
    accuracy = {table.name: table for table in built.tables if table.name.endswith("accuracy-last")}
    assert ["far" in table.cells.index for table in accuracy.values()] == [False, True]
    assert built.rows.groupby("head_label")["imported"].count()[["mine", "psc"]].tolist() == [3, 0]
    page = built.page.read_text()
    assert "Imported, so trained elsewhere" in page
    assert "mine d = 5 seed 2 on toy (mine.npz sha256" in page
    assert "\n2 threads, precision fp32;" in page


def test_what_tables_would_count_as_a_seed_of_another_head_is_refused(tmp_path: Path) -> None:
    """Also with a seed that the trained head has not; described otherwise it is a comparison of its own."""
    helpers.toy(tmp_path)
    alike: dict[str, Any] = {name: helpers.FACTS[name] for name in "backbone recipe protocol projection".split()} | {
        "head_label": "psc",
        "feature_dim": 5,
    }
    before, cells = (tmp_path / "toy-grid" / "grid.yaml").read_bytes(), store.begun(tmp_path)
    for seed in (0, 7):
        with pytest.raises(UserError, match=r"^import: grid 'toy-grid' has a trained head 'psc'; give another --head$"):
            bring(npz(tmp_path), tmp_path, grid="toy-grid", seed=seed, **alike)
    assert (tmp_path / "toy-grid" / "grid.yaml").read_bytes() == before
    assert store.begun(tmp_path) == cells
    assert bring(npz(tmp_path), tmp_path, grid="toy-grid", **alike | {"recipe": "longer"}).beside == []
    # A harness with other axes gave the same cell another name.
    bring(npz(tmp_path), tmp_path)
    plan = store.read_plan(tmp_path / "imported")
    store.write_plan(tmp_path / "imported", plan | {"cells": [plan["cells"][0] | {"cell_id": "former"}]})
    with pytest.raises(UserError, match="lists cell former of head 'mine' with d = 4 and seed 0; give another --head"):
        bring(npz(tmp_path), tmp_path)


def test_a_run_of_the_grid_keeps_what_was_imported(trained: tuple[Path, Planned], tmp_path: Path) -> None:
    out, one = trained
    labels = digits().test.labels.numpy()
    file = npz(tmp_path, logits=np.eye(10)[labels] - 0.5, labels=labels)
    found = bring(file, out, "digits", grid="tiny+fp32", head_label="kept")
    contents = grid(axes={"head": ["dl2pa"]})
    options = RunOptions(grid=contents, out=out, workers=1, threads=CPU.threads, device="cpu", precision="fp32")
    prepared = launch.prepare(options)
    assert not prepared.todo
    launch.execute(prepared, Console(quiet=True))
    listed = [row["cell_id"] for row in store.read_plan(out / "tiny+fp32")["cells"]]
    assert listed == [one.cell_id, found.cell_id]
    alike: dict[str, Any] = {name: one.facts[name] for name in "backbone recipe protocol projection".split()}
    bring(
        file, out, "digits", grid="tiny+fp32", head_label="psc", feature_dim=one.facts["feature_dim"], seed=9, **alike
    )
    both = dataclasses.replace(options, grid=grid(axes={"head": ["dl2pa", "psc"]}))
    with pytest.raises(UserError, match=r"grid 'tiny\+fp32': head 'psc' was imported into it .*; train it under anoth"):
        launch.prepare(both)
    for row in store.read_plan(out / "tiny+fp32")["cells"]:
        if row.get("imported"):
            shutil.rmtree(store.cell_folder(out, row["cell_id"]))
    launch.write_plan(launch.prepare(both))
    left = {row["head_label"]: row.get("imported") for row in store.read_plan(out / "tiny+fp32")["cells"]}
    assert left == {"dl2pa": None, "psc": None}, "one whose folder is gone is taken out"


def test_the_command_says_what_it_did(tmp_path: Path, no_pictures: None, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["import", str(npz(tmp_path)), "--head", "mine", "--dataset", "toy", "--out", str(tmp_path / "runs")]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "'toy' is none of the harness's data sets" in said.err
    assert "imported: cell " in said.out
    assert "labels: compared with nothing" in said.out
    assert "threads, precision" not in (tmp_path / "runs" / "imported" / "report.html").read_text()
    assert main(words) == 2
    assert "is there already, with the same scores" in capsys.readouterr().err
    assert main([*words, "--grid", "cells"]) == 2
    assert "--grid: the name 'cells' is reserved" in capsys.readouterr().err
    assert main([*words, "--head", " "]) == 2
    assert "--head: an empty name" in capsys.readouterr().err


def test_a_cell_of_a_newer_harness_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the terminal, with the status of what is wrong in a folder, and in Python, as a UserError."""
    file = npz(tmp_path)
    folder = store.cell_folder(tmp_path, bring(file, tmp_path).cell_id)
    path = folder / "result.json"
    store.write_checked(path, store.read_checked(path) | {"schema": 99})
    before, said = path.read_bytes(), f"{path} has schema 99, written by a newer headbench; this one knows"
    words = ["--head", "mine", "--dataset", "toy", "--out", str(tmp_path)]
    assert main(["import", str(file), *words]) == 1
    assert f"bench.py: {said}" in capsys.readouterr().err
    for asked in (
        lambda: headbench.classifier(folder),
        lambda: headbench.import_scores(LOGITS, LABELS, head="mine", dataset="toy", out=tmp_path),
    ):
        with pytest.raises(headbench.UserError, match=re.escape(said)):
            asked()
    assert main(["merge", str(tmp_path), "--into", str(tmp_path / "new")]) == 1
    assert f"left out: {said}" in " ".join(capsys.readouterr().out.split())
    assert path.read_bytes() == before


def test_scores_in_memory_give_what_a_file_of_them_gives(tmp_path: Path) -> None:
    counts = [200, 50, 50, 10]
    test, val = (torch.tensor(LOGITS), LABELS), (torch.tensor(VAL_LOGITS), VAL_LABELS.tolist())
    rows = headbench.import_scores(*test, *val, head="mine", dataset="toy", out=tmp_path / "a", class_counts=counts)
    file = npz(
        tmp_path,
        logits=LOGITS,
        labels=LABELS,
        val_logits=VAL_LOGITS,
        val_labels=VAL_LABELS,
        class_counts=np.array(counts),
    )
    found = bring(file, tmp_path / "b")
    assert rows["cell_id"].tolist() == [found.cell_id]
    assert {name: rows[name].item() for name in ("top1", "nll", "ece_temperature", "few_accuracy")} == {
        name: found.measured[name] for name in ("top1", "nll", "ece_temperature", "few_accuracy")
    }
    with pytest.raises(UserError, match="together"):
        headbench.import_scores(LOGITS, LABELS, VAL_LOGITS, head="mine", dataset="toy", out=tmp_path)
    with pytest.raises(UserError, match="unknown argument 'bakbone'.*backbone"):
        headbench.import_scores(LOGITS, LABELS, head="mine", dataset="toy", out=tmp_path, bakbone="r")
    with pytest.raises(UserError, match="import_scores: labels are whole numbers, one for each of the 40 scores"):
        headbench.import_scores(LOGITS, LABELS[:5], head="mine", dataset="toy", out=tmp_path)
    with pytest.raises(UserError, match="kind: unknown 'logit'"):
        headbench.import_scores(LOGITS, LABELS, head="mine", dataset="toy", out=tmp_path, kind="logit")
    with pytest.raises(UserError, match="import_scores: out: None is no path"):
        headbench.import_scores(LOGITS, LABELS, head="mine", dataset="toy", out=None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="import_scores: grid: 5 is no name of a grid"):
        headbench.import_scores(LOGITS, LABELS, head="mine", dataset="toy", out=tmp_path, grid=5)  # type: ignore[arg-type]
    seed: Any = np.int64(0)
    with pytest.raises(UserError, match="there already"):
        headbench.import_scores(LOGITS, LABELS, head="mine", dataset="toy", out=tmp_path / "a", seed=seed)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "import: seed: Input should be greater than or equal to 0"),
        ({"seed": 0.5}, "import: seed: Input should be a valid integer"),
        ({"feature_dim": 0}, "import: feature_dim: Input should be greater"),
        ({"imbalance_factor": float("nan")}, "import: imbalance_factor: Input should be a finite number"),
        ({"head": None}, "import: head: Input should be a valid string"),
        ({"dataset": {"name": "toy"}}, "import_scores: dataset: a name, or .* not a dict"),
        ({"dataset": " "}, "--dataset: an empty name"),
    ],
)
def test_what_cannot_be_said_of_a_training_is_refused(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    told: dict[str, Any] = {"head": "mine", "dataset": "toy", "out": tmp_path} | wrong
    with pytest.raises(UserError, match=message):
        headbench.import_scores(LOGITS, LABELS, **told)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(("protocol", "held_out"), [("unknown", None), ("published", 0.0), ("lt-val-0.2", 0.2)])
def test_of_a_long_tail_the_protocol_tells_the_training_images(
    protocol: str, held_out: float | None, tmp_path: Path
) -> None:
    truth = digits().test.labels.numpy()
    file = npz(tmp_path, logits=np.eye(10)[truth] - 0.5, labels=truth)
    told = bring(file, tmp_path / "runs", "digits", data=tmp_path, protocol=protocol, imbalance_factor=10.0)
    (row,) = headbench.load(tmp_path / "runs", "imported").to_dict("records")
    if held_out is None:
        assert row["n_train"] == 0
        assert np.isnan(told.measured["few_accuracy"])
    else:
        loaded = DATASETS["digits"].target(tmp_path)
        assert row["n_train"] == len(partition(loaded, Protocol(held_out, imbalance_factor=10.0)).train)
        assert told.measured["few_accuracy"] == 1


def test_heads_with_and_without_a_temperature_are_shown_in_views_of_their_own(tmp_path: Path) -> None:
    test: dict[str, Any] = {"logits": LOGITS, "labels": LABELS}
    bring(npz(tmp_path, **test, val_logits=VAL_LOGITS, val_labels=VAL_LABELS), tmp_path, head_label="a")
    bring(npz(tmp_path, **test), tmp_path, head_label="b")
    rows, answers = headbench.load(tmp_path, "imported"), Answers(tmp_path)
    views = {head: own.view.split(",")[0] for head, own in pooled.pool(rows, tmp_path)[0].items()}
    assert views == {"a": "temperature view", "b": "native view"}
    table = calibration(rows, answers, "last", "", "imported")
    assert "No temperature was fitted for b: floor, smooth ECE, NLL and Brier score are of the native view" in (
        table.caption
    )
    one, other = (rows[rows["head_label"] == head] for head in "ab")
    assert differences.between(one, other, answers, "nll") is None
    assert differences.between(one, one.assign(head_label="c"), answers, "nll") is not None


def test_class_counts_that_are_given_go_before_those_of_the_data_set(tmp_path: Path) -> None:
    """All images are right but those of the one class of few."""
    truth = digits().test.labels.numpy()
    scores, counts = np.eye(10)[np.where(truth == 9, 8, truth)] - 0.5, [200, *[50] * 8, 10]
    file = npz(tmp_path, logits=scores, labels=truth, class_counts=np.array(counts))
    told = bring(file, tmp_path / "runs", "digits", data=tmp_path).measured
    assert [told[f"{group}_accuracy"] for group in ("many", "medium", "few")] == [1, 1, 0]
    (row,) = headbench.load(tmp_path / "runs", "imported").to_dict("records")
    assert row["n_train"] == sum(counts)


@pytest.mark.parametrize(("factor", "n_train"), [(1.0, 80), (10.0, 0)])
def test_the_training_images_of_a_cell_are_those_of_no_other_long_tail(
    factor: float, n_train: int, tmp_path: Path
) -> None:
    """What is imported was trained on all 80 images as the cell was, or nobody knows on how many."""
    helpers.write_grid(
        tmp_path, [helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0, imbalance_factor=factor), 30)]
    )
    assert bring(npz(tmp_path), tmp_path).source.startswith("cell psc-5-0-toy")
    (row,) = headbench.load(tmp_path, "imported").to_dict("records")
    assert row["n_train"] == n_train
