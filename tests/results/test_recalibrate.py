"""Calibration computed anew equals torchmetrics on the stored predictions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

import bench
import results
from results import report, store
from results.recalibrate import recalibrate
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
        assert new["ece_temperature"] == pytest.approx(theirs.item(), abs=1e-6)
    same, _ = recalibrate(rows, tmp_path, 15)
    assert np.allclose(same["ece_temperature_high"], rows["ece_temperature_high"], equal_nan=True, rtol=1e-5)


def test_the_report_says_how_many_bins(tmp_path: Path) -> None:
    helpers.toy(tmp_path)
    assert "15 bins" in report.build(tmp_path, "toy-grid").page.read_text()
    page = report.build(tmp_path, "toy-grid", bins=7).page.read_text()
    assert "7 bins" in page
    assert "15 bins" not in page


def test_a_report_with_no_bins_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helpers.toy(tmp_path)
    command = ["report", "--grid", "toy-grid", "--out", str(tmp_path), "--bins"]
    assert bench.main([*command, "0"]) == 2
    assert capsys.readouterr().err == "bench.py: --bins 0: at least 1 is needed; 15 is usual\n"
    assert bench.main([*command, "20"]) == 1
    assert "20 bins" in (tmp_path / "toy-grid" / "report.html").read_text()
