"""Scores of any classifier, judged."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from headbench import evaluate
from headbench.core.errors import UserError
from headbench.results import columns

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 4, 300)
SCORES = (3 * np.eye(4)[LABELS] + GENERATOR.normal(size=(300, 4)) * 2).astype(np.float32)


def test_the_metrics_agree_with_torch() -> None:
    found = evaluate(SCORES, LABELS)
    assert found["top1"] == pytest.approx(float((SCORES.argmax(axis=1) == LABELS).mean()))
    assert found["nll"] == pytest.approx(F.cross_entropy(torch.tensor(SCORES), torch.tensor(LABELS)).item(), rel=1e-5)
    assert found["calibration_view"] == "native"
    assert math.isnan(float(found["temperature"]))
    assert math.isnan(float(found["val_top1"]))
    assert math.isnan(float(found["val_nll"]))


def test_the_temperature_is_that_of_the_least_nll_on_validation() -> None:
    found = evaluate(SCORES[:200], LABELS[:200], SCORES[200:], LABELS[200:])
    held, labels = torch.tensor(SCORES[200:]), torch.tensor(LABELS[200:])
    tried = np.geomspace(0.1, 10, 2001)
    best = tried[np.argmin([F.cross_entropy(held / t, labels).item() for t in tried])]
    assert found["temperature"] == pytest.approx(best, rel=5e-3)
    assert found["val_top1"] == pytest.approx(float((SCORES[200:].argmax(axis=1) == LABELS[200:]).mean()))
    assert found["val_nll"] == pytest.approx(F.cross_entropy(held, labels).item(), rel=1e-6)
    assert found["calibration_view"] == "temperature"
    assert 0 <= float(found["ece_temperature_low"]) <= float(found["ece_temperature_high"]) <= 1
    assert float(found["ece_floor"]) > 0


def test_every_metric_is_a_column_of_a_cell() -> None:
    assert evaluate(SCORES, LABELS).keys() <= set(columns.names())


@pytest.mark.parametrize(
    "scores",
    [SCORES.tolist(), torch.tensor(SCORES, requires_grad=True), torch.tensor(SCORES).double()],
    ids=["lists", "torch", "float64"],
)
def test_lists_and_tensors_are_as_good_as_arrays(scores: Any) -> None:
    assert evaluate(scores, torch.tensor(LABELS)) == pytest.approx(evaluate(SCORES, LABELS), nan_ok=True)


def test_bfloat16_is_read() -> None:
    scores = torch.tensor(SCORES).bfloat16()
    assert evaluate(scores, LABELS)["nll"] == pytest.approx(evaluate(scores.float(), LABELS)["nll"])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((SCORES[0], LABELS), r"scores are finite numbers \(images, classes\), not float32 of shape \(4,\)"),
        ((SCORES, LABELS[:-1]), r"labels are whole numbers, one for each of the 300 scores, not .* of shape \(299,\)"),
        ((SCORES, LABELS / 2), "labels are whole numbers"),
        ((SCORES, LABELS + 1), "labels go from 0 to 3, as scores have 4 classes; in row 0, 4 does not"),
        ((SCORES * np.nan, LABELS), "scores are finite numbers"),
        ((np.ma.masked_equal(SCORES, SCORES[2, 1]), LABELS), r"scores have masked values, the first at \[2, 1\]"),
        ((SCORES, np.ma.array(LABELS, mask=np.arange(300) == 7)), r"labels have masked values, the first at \[7\]"),
        ((SCORES[:0], LABELS[:0]), "scores are finite numbers"),
        (([[1.0, 2.0], [3.0]], [0, 1]), "scores are no array of numbers"),
        ((SCORES, LABELS, SCORES), "val_scores and val_labels are given together"),
        ((SCORES, LABELS, SCORES[:, :3], LABELS % 3), "val_scores have 3 classes, scores have 4"),
        ((SCORES, LABELS, SCORES, LABELS[:3]), "val_labels are whole numbers"),
    ],
)
def test_what_is_no_scores_and_labels_is_refused_in_one_line(arrays: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        evaluate(*arrays)
    assert "\n" not in str(caught.value)


def test_probabilities_are_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(torch.tensor(SCORES).softmax(dim=1), LABELS)
    assert "scores look like probabilities" in capsys.readouterr().err
