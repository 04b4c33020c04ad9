"""What a cell's result tells: of which epoch, by which weights, and by which measure."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from headbench.results import store
from headbench.results.numbers import calibration, ece
from headbench.runners.execution import cell as cells
from headbench.runners.training import evaluate
from headbench.runners.training.classifier import build
from headbench.runners.training.train import Training
from tests.runners.helpers import CPU, QUICK, cell, digits, planned

RUN = Training.run


def test_a_best_epoch_is_chosen_on_its_own_part_and_judged_by_its_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of given accuracies validation is best in the second epoch, test in the third of four."""
    given = iter([0.2, 0.5, 0.9, 0.1, 0.3, 0.8, 0.4, 0.2])  # validation and test, epoch by epoch
    monkeypatch.setattr(evaluate, "measure", lambda *_: {"top1": next(given)})
    weights: list[dict[str, Tensor]] = []

    def watched(training: Training, on_epoch: Callable[[dict[str, Any]], None], *rest: Any) -> None:
        def keep(row: dict[str, Any]) -> None:
            weights.append(copy.deepcopy(training.classifier.state_dict()))
            on_epoch(row)

        RUN(training, keep, *rest)

    monkeypatch.setattr(Training, "run", watched)
    (one,) = planned(cell("psc", recipe=QUICK | {"epochs": 4}))
    result = cells.run(one, digits(), tmp_path, CPU, lambda _: None, keep_weights=False)
    stored, classifier = store.read_predictions(tmp_path), build(one.cell, digits().info(0), bf16=False)
    for selection, epoch in (("best_val", 2), ("best_test", 3), ("last", 4)):
        assert result["selections"][selection]["epoch"] == epoch
        classifier.load_state_dict(weights[epoch - 1])
        expected = evaluate.scores(classifier, evaluate.embed(classifier, digits().test))
        assert np.array_equal(stored[f"{selection}_test_logits"], expected), selection


def test_a_trial_is_told_each_measure_of_its_validation_scores(tmp_path: Path) -> None:
    (one,) = planned(cell("hpn").model_copy(update={"purpose": "tune"}))
    result = cells.run(one, digits(), tmp_path, CPU, lambda _: None, keep_weights=False)
    stored, told = store.read_predictions(tmp_path), result["selections"]["last"]
    shares, labels = (
        torch.from_numpy(stored["val_logits"]).double().softmax(dim=1),
        torch.from_numpy(stored["val_labels"]),
    )
    macro = recall_score(labels, shares.argmax(dim=1), average="macro", zero_division=0)
    brier = (shares - torch.nn.functional.one_hot(labels, 10)).square().sum(dim=1).mean()
    assert told["val_macro_accuracy"] == pytest.approx(macro)
    assert told["val_brier"] == pytest.approx(brier.item(), rel=1e-6)
    bins = calibration.top_label(shares.numpy(), labels.numpy())
    plain = multiclass_calibration_error(shares, labels, num_classes=10, n_bins=15)
    assert bins.ece() == pytest.approx(plain.item(), abs=1e-6)
    assert told["val_ece"] == pytest.approx(ece.estimate(bins).debiased, abs=1e-9)
