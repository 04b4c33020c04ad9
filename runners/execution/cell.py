"""One cell from start to ``result.json``: train, evaluate each selection, write the files."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headbench.core.errors import UserError, note
from headbench.heads import HEADS
from headbench.results import answers, store
from headbench.results.numbers import collapse, health, metrics
from headbench.results.ood import cell_files
from headbench.runners.execution import provenance
from headbench.runners.execution.plan import Planned
from headbench.runners.ood.measure import measure
from headbench.runners.training import compute, evaluate
from headbench.runners.training.checkpoint import Checkpoints, saved
from headbench.runners.training.hardware import Hardware
from headbench.runners.training.health import dead_features
from headbench.runners.training.history import Glimpse, Log
from headbench.runners.training.loop import contract
from headbench.runners.training.parts import Parts
from headbench.runners.training.train import Training, resume

# Above this many values, stored scores are float16.
FLOAT32_VALUES = 5_000_000
# Scores (N, C) and labels (N,).
Scored = tuple[np.ndarray, np.ndarray]
# What is recorded of a trial of a search, and the metric that it is.
VALIDATED = {"top1": "top1", "macro_accuracy": "macro_accuracy", "nll": "nll", "brier": "brier", "ece": "ece_native"}


def run(
    planned: Planned,
    parts: Parts,
    folder: Path,
    hardware: Hardware,
    on_epoch: Callable[[dict[str, Any]], None],
    *,
    keep_weights: bool,
    checkpoints: Checkpoints | None = None,
    on_glimpse: Callable[[Glimpse], None] = lambda _: None,
) -> dict[str, Any]:
    """Train one cell, or go on from its checkpoint, and write its folder; ``result.json`` is the last file.

    The check of ``checkpoints`` is called before each write: the cell may no longer be this process's to write.

    Returns:
        What was written to ``result.json``.
    """
    started = _now()
    described = provenance.describe(hardware) | {"head_source": HEADS.get(planned.cell.head).source}
    store.write_yaml(folder / "cell.yaml", planned.cell.model_dump(mode="json"))
    provenance.reset_peak_memory(hardware)
    training = (
        Training(planned.cell, parts, hardware)
        if checkpoints is None
        else resume(planned.cell, parts, hardware, checkpoints)
    )
    training.begun = provenance.together(training.begun, described | {"started_at": started})
    log, check = Log(folder, training.history), checkpoints.check if checkpoints else lambda: None

    def logged(row: dict[str, Any]) -> None:
        check()
        log.append()
        on_epoch(row)

    training.run(logged, checkpoints, on_glimpse)
    judged = _judge(training, planned)
    own = judged.predictions.get("last_test_logits")
    outside = {} if own is None else measure(training.classifier, own, parts.outside)
    check()
    log.write()
    files = _write_files(folder, training, judged, outside, keep_weights=keep_weights)
    result = _told(training, planned, judged) | _cost(training, hardware)
    began = {"started_at": training.begun["started_at"], "finished_at": _now()}
    result |= {"provenance": described | {name: training.begun[name] for name in provenance.TOLD}} | began
    result |= {"inputs": parts.inputs()} if keep_weights else {}
    store.check_result(result)
    check()
    store.write_result(folder, result, files)
    return result


@dataclass(frozen=True)
class _Judged:
    """What is told of a training that has ended.

    Attributes:
        selections: the row of each selection.
        absent: why the others are.
        health: see :func:`headbench.results.numbers.health.assess`.
        predictions: the arrays of ``predictions.npz``.
        geometry: those of ``geometry.npz``.
    """

    selections: dict[str, dict[str, Any]]
    absent: dict[str, str]
    health: dict[str, Any]
    predictions: dict[str, np.ndarray]
    geometry: dict[str, np.ndarray]


def _write_files(
    folder: Path, training: Training, judged: _Judged, outside: dict[str, dict[str, Any]], *, keep_weights: bool
) -> list[str]:
    """Write what a cell keeps beside its result; return the files whose checksums the result has."""
    store.write_arrays(folder / "predictions.npz", judged.predictions)
    store.write_arrays(folder / "geometry.npz", judged.geometry)
    for path in cell_files.paths(folder):  # of a training whose result was lost
        path.unlink()
    for key, measured in outside.items():
        cell_files.write(folder, key, measured)
    files = ["cell.yaml", "history.csv", "predictions.npz", "geometry.npz"]
    if not keep_weights:
        return files
    store.write_bytes(folder / store.WEIGHTS, saved(training.classifier.state_dict()))
    return [*files, store.WEIGHTS]


def _judge(training: Training, planned: Planned) -> _Judged:
    """Evaluate the selections, and the last weights on the training images.

    Raises:
        UserError: if the head can be finished on no selection.
    """
    rows, absent, predictions = _selections(training, planned)
    labels, num_classes = training.parts.train.labels, planned.facts["num_classes"]
    predicted = evaluate.predictions(training.classifier, training.features)
    shape = vars(evaluate.geometry(training.classifier, training.features, labels, predicted, num_classes))
    if "last" in rows:
        rows["last"] |= collapse.measure(shape)
    measured = _measured(training, predicted, labels)
    assessed = health.assess(training.history, measured, num_classes, planned.cell.feature_dim)
    return _Judged(rows, absent, assessed, predictions, shape)


def _told(training: Training, planned: Planned, judged: _Judged) -> dict[str, Any]:
    """Return what ``result.json`` says of a cell and of its selections."""
    return {
        "cell_id": planned.cell_id,
        "facts": planned.facts,
        "class_names": training.parts.outline.class_names,
        "native_scale": contract.native_scale(training.classifier.head),
        "selections": judged.selections,
        "absent": judged.absent,
        "health": judged.health,
    } | ({"purpose": "tune"} if planned.cell.purpose == "tune" else {})


def _cost(training: Training, hardware: Hardware) -> dict[str, Any]:
    """Return what ``result.json`` says of time, memory and compute."""
    seconds = sum(row["seconds"] for row in training.history)
    return {
        "train_seconds": seconds,
        "images_per_second": sum(row["images"] for row in training.history) / seconds,
        "peak_memory_mb": provenance.peak_memory_mb(hardware),
        **compute.measure(training.classifier, training.parts.train, training.plan, training.history),
    }


def _selections(
    training: Training, planned: Planned
) -> tuple[dict[str, dict[str, Any]], dict[str, str], dict[str, np.ndarray]]:
    """Evaluate the weights of every selection; the classifier ends with those of ``last``.

    Returns:
        The row of each selection, why others are absent, and the arrays of ``predictions.npz``.

    Raises:
        UserError: if the head can be finished on no selection.
    """
    classifier, parts = training.classifier, training.parts
    absent: dict[str, str] = {}
    rows: dict[str, dict[str, Any]] = {}
    trial = planned.cell.purpose == "tune"
    arrays = {} if trial else {"test_labels": parts.test.labels.cpu().numpy()}
    arrays["val_labels"] = parts.val.labels.cpu().numpy()
    context = training.context("finalize")
    for selection in sorted(training.selected, key=lambda name: name == "last"):
        snapshot = training.selected[selection]
        classifier.load_state_dict(snapshot.state)
        try:
            fitted = contract.numbers(classifier.head.finalize(context), classifier.head)
        except UserError as error:
            note(f"{planned.cell_id}: no '{selection}' row, since the head cannot be finished: {error}")
            absent[selection] = str(error)
            classifier.load_state_dict(snapshot.state)
            continue
        rows[selection] = {
            "epoch": snapshot.row["epoch"],
            "train_loss": snapshot.row["train_loss"],
            **{f"fitted_{name}": value for name, value in fitted.items()},
        }
        val = evaluate.scores(classifier, evaluate.embed(classifier, parts.val)) if len(parts.val) else None
        held_out = None if val is None else (val, arrays["val_labels"])
        if trial:
            rows[selection] |= _validated(training, held_out)
        else:
            test = evaluate.scores(classifier, evaluate.embed(classifier, parts.test))
            scale, nominal = contract.native_scale(classifier.head), parts.nominal.numpy()
            rows[selection] |= tested((test, arrays["test_labels"]), held_out, scale, nominal, parts.ranges)
            arrays[f"{selection}_test_logits"] = stored(test)
        if val is not None:
            arrays[store.val_logits(selection)] = stored(val)
    if not rows:
        raise UserError(f"the head cannot be finished on any selection: {absent['last']}")
    return rows, absent, arrays


def tested(
    test: Scored, held_out: Scored | None, scale: float, nominal: np.ndarray, ranges: tuple[int, int] | None
) -> dict[str, Any]:
    """Return all that is measured of a selection, from the scores and labels of both parts; arguments as for
    :func:`headbench.results.numbers.metrics.evaluate`.
    """
    measured: dict[str, Any] = metrics.evaluate(test, held_out, scale, nominal, ranges)
    per_class = metrics.per_class_accuracy(*test).tolist()
    return measured | {"per_class_accuracy": per_class} | answers.pack(answers.of(*test))


def _validated(training: Training, held_out: Scored | None) -> dict[str, Any]:
    """Return what is measured of a trial's selection, from its scores on validation: by the head's own scale, since a
    temperature that the same images fit would flatter it.

    Raises:
        UserError: if there is no validation part.
    """
    if held_out is None:
        raise UserError("a trial of a search has nothing to be judged by without a validation part")
    parts, scale = training.parts, contract.native_scale(training.classifier.head)
    measured = metrics.evaluate(held_out, None, scale, parts.nominal.numpy(), parts.ranges)
    return {f"val_{name}": measured[metric] for name, metric in VALIDATED.items()}


def _measured(training: Training, predicted: Tensor, labels: Tensor) -> dict[str, float]:
    """Return what :func:`headbench.results.numbers.health.assess` takes, from the predicted classes and the labels (N,)
    of the training images.
    """
    accuracy, largest = (predicted == labels).double().mean().item(), torch.bincount(labels).max().item() / len(labels)
    return training.losses | {
        "train_top1": accuracy,
        "largest_class": largest,
        "dead_features": dead_features(training.features),
    }


def stored(logits: np.ndarray) -> np.ndarray:
    """Return scores as ``predictions.npz`` holds them: many ones in half precision, if that can hold them."""
    half = logits.size > FLOAT32_VALUES and np.abs(logits).max() <= np.finfo(np.float16).max
    return logits.astype(np.float16) if half else logits


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
