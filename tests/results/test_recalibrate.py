"""Calibration computed anew equals torchmetrics on the stored predictions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from headbench import results
from headbench.results import report, store
from headbench.results.recalibrate import recalibrate
from headbench.runners.commands.main import main
from tests.results import helpers


def test_other_bins_equal_torchmetrics_and_the_rest_stays(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    rows = results.load(tmp_path, "toy-grid")
    (tmp_path / "cells" / "psc-2-0-toy" / "predictions.npz").write_bytes(b"")
    fresh, damaged = recalibrate(rows, tmp_path, 7)
    assert len(damaged) == 1
    assert "psc-2-0-toy" in damaged[0]
    assert fresh["calibration_bins"].value_counts().to_dict() == {7: 14, 15: 2}
    for (_, old), (_, new) in zip(rows.iterrows(), fresh.iterrows(), strict=True):
        if new["selection"] != "last" or new["calibration_bins"] == 15:
            continue
        assert new["top1"] == old["top1"]
        assert new["nll"] == pytest.approx(old["nll"], rel=1e-6)
        stored = store.read_predictions(store.cell_folder(tmp_path, new["cell_id"]))
        p = torch.from_numpy(stored["last_test_logits"] / new["temperature"]).double().softmax(dim=1)
        theirs = multiclass_calibration_error(p, torch.from_numpy(stored["test_labels"]), num_classes=4, n_bins=7)
        assert new["ece_temperature_plugin"] == pytest.approx(theirs.item(), abs=1e-6)
        assert (
            new["ece_temperature_low"]
            <= new["ece_temperature"]
            <= new["ece_temperature_plugin"]
            <= new["ece_temperature_high"]
        )
    same, _ = recalibrate(rows, tmp_path, 15)
    assert np.allclose(same["ece_temperature_high"], rows["ece_temperature_high"], equal_nan=True, rtol=1e-5)


@pytest.mark.usefixtures("no_pictures")
def test_the_report_says_how_many_bins(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    assert "15 bins" in report.build(tmp_path, "toy-grid").page.read_text()
    page = report.build(tmp_path, "toy-grid", bins=7).page.read_text()
    assert "7 bins" in page
    assert "15 bins" not in page


@pytest.mark.usefixtures("no_pictures")
def test_a_report_with_no_bins_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helpers.toy(tmp_path)
    command = ["report", "--grid", "toy-grid", "--out", str(tmp_path), "--bins"]
    assert main([*command, "0"]) == 2
    assert capsys.readouterr().err == "bench.py: --bins: 0 is not at least 1\n"
    assert main([*command, "20"]) == 1
    assert "20 bins" in (tmp_path / "toy-grid" / "report.html").read_text()


def test_each_selection_has_the_scale_that_its_scores_have(tmp_path: Path) -> None:
    """A learned scale differs between the last and the best epoch; the raw view takes off each selection's own."""
    helpers.write_grid(tmp_path, [helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0), 30)])
    folder = tmp_path / "cells" / "psc-5-0-toy"
    result = store.read_result(folder)
    assert result is not None
    result["selections"]["last"]["native_scale"], result["selections"]["best_test"]["native_scale"] = 2.0, 5.0
    files = list(result.pop("sha256"))
    store.write_result(folder, {key: value for key, value in result.items() if key != "schema"}, files)
    rows, stored = results.load(tmp_path, "toy-grid"), store.read_predictions(folder)
    assert rows["native_scale"].tolist() == [2.0, 5.0]
    for _, row in recalibrate(rows, tmp_path, 10)[0].iterrows():
        p = torch.from_numpy(stored[f"{row['selection']}_test_logits"] / row["native_scale"]).double().softmax(dim=1)
        theirs = multiclass_calibration_error(p, torch.from_numpy(stored["test_labels"]), num_classes=4, n_bins=10)
        assert row["ece_raw_plugin"] == pytest.approx(theirs.item(), abs=1e-6)


@pytest.mark.usefixtures("no_pictures")
def test_cells_of_an_older_schema_keep_their_plain_ece_and_get_the_rest_from_their_predictions(tmp_path: Path) -> None:
    helpers.write_grid(tmp_path, [helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0), 30)])
    new, folder = results.load(tmp_path, "toy-grid"), tmp_path / "cells" / "psc-5-0-toy"
    result = store.read_result(folder)
    assert result is not None
    for measured in result["selections"].values():
        for name in ("raw", "native", "temperature"):
            measured[f"ece_{name}"] = measured.pop(f"ece_{name}_plugin")
        for name in ("ece_floor", "smooth_ece", "native_scale"):
            del measured[name]
    files = list(result.pop("sha256"))
    store.write_result(folder, {key: value for key, value in result.items() if key != "schema"}, files)
    old = results.load(tmp_path, "toy-grid")
    assert old["ece_raw_plugin"].tolist() == new["ece_raw_plugin"].tolist()
    assert (
        old[["ece_raw", "ece_native", "ece_temperature", "ece_raw_low", "ece_native_high", "ece_floor", "smooth_ece"]]
        .isna()
        .all(axis=None)
    )
    assert old["native_scale"].tolist() == [1.0, 1.0]
    assert "-" in report.build(tmp_path, "toy-grid").page.read_text()
    again = recalibrate(old, tmp_path, 15)[0]
    names = [
        "ece_raw",
        "ece_native",
        "ece_temperature",
        "ece_temperature_low",
        "ece_temperature_high",
        "ece_floor",
        "smooth_ece",
    ]
    assert np.allclose(again[names].astype(float), new[names].astype(float), rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("no_pictures")
def test_predictions_without_the_scores_of_a_selection_are_one_line(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    folder = tmp_path / "cells" / "psc-2-0-toy"
    result = store.read_result(folder)
    assert result is not None
    store.write_arrays(folder / "predictions.npz", {"test_labels": np.zeros(40, dtype=int)})
    store.write_result(
        folder, {key: value for key, value in result.items() if key not in {"schema", "sha256"}}, ["predictions.npz"]
    )
    fresh, damaged = recalibrate(results.load(tmp_path, "toy-grid"), tmp_path, 7)
    assert [line.partition(" is damaged")[0] for line in damaged] == [str(folder / "predictions.npz")]
    assert (fresh["calibration_bins"] == 7).sum() == 14
