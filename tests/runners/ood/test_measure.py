"""Cells are measured on other data sets when they end, and that changes nothing else of them."""

import dataclasses
import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import headbench
from headbench.core.errors import UserError
from headbench.data import ImageSet
from headbench.data.loading.foreign import Foreign
from headbench.results.numbers import ood
from headbench.runners.execution import launch
from headbench.runners.execution.options import RunOptions
from headbench.runners.ood import measure
from headbench.runners.training import evaluate
from tests.data.helpers import random_images, save
from tests.runners.helpers import CPU, QUICK, grid

FLOWERS = {"name": "folder", "path": "flowers"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a small set of colour images."""
    folder = tmp_path_factory.mktemp("data")
    for number, image in enumerate(random_images(24, 0, side=12)):
        save(
            folder / "flowers" / ("train" if number % 2 else "test") / f"class{number % 4 // 2}" / f"{number}.png",
            image,
        )
    return folder


def prepare(
    root: Path, out: Path, *, keep_weights: bool = False, axes: dict[str, Any] | None = None, **changes: Any
) -> launch.Launch:
    options = RunOptions(
        grid(axes=axes or {}, **changes), data=root, out=out, device="cpu", workers=1, threads=CPU.threads
    )
    return launch.prepare(dataclasses.replace(options, keep_weights=keep_weights, precision="fp32", name="tiny"))


def run(*arguments: Any, **changes: Any) -> str:
    printed = StringIO()
    launch.execute(prepare(*arguments, **changes), Console(file=printed, width=500))
    return printed.getvalue()


@pytest.fixture(scope="module")
def runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same cell in two folders, ``with`` other data sets, and ``without`` them and with its weights."""
    folder = tmp_path_factory.mktemp("runs")
    run(root, folder / "with", ood=FLOWERS)
    run(root, folder / "without", keep_weights=True)
    return folder


def cells(out: Path) -> list[Path]:
    return list((out / "cells").iterdir())


def test_a_cell_that_is_measured_is_the_cell_that_it_was(runs: Path) -> None:
    (measured,), (plain,) = cells(runs / "with"), cells(runs / "without")
    assert measured.name == plain.name
    assert (measured / "predictions.npz").read_bytes() == (plain / "predictions.npz").read_bytes()
    results = [json.loads((folder / "result.json").read_text()) for folder in (measured, plain)]
    assert results[0]["selections"] == results[1]["selections"]
    assert results[1].keys() - results[0].keys() == {"inputs"}
    assert list(plain.glob("ood*")) == []
    assert "ood" not in (runs / "without" / "tiny" / "grid.yaml").read_text()


def test_the_numbers_are_those_of_the_network_on_the_images(root: Path, runs: Path) -> None:
    """From the files of the other data set, by Pillow, through the network of the cell whose weights were kept."""
    (plain,) = cells(runs / "without")
    network = headbench.classifier(plain)
    files = sorted((root / "flowers" / "test").rglob("*.png"))
    small = [Image.open(file).convert("L").resize((8, 8), Image.Resampling.BILINEAR) for file in files]
    with torch.no_grad():
        scores = network(torch.from_numpy(np.stack([np.asarray(image) for image in small]))[:, None]).numpy()
    own = np.load(plain / "predictions.npz")["last_test_logits"]
    last = headbench.load(runs / "with", "tiny").set_index("selection").loc["last"]
    assert last["ood"] == "folder(path=flowers)"
    for name, value in ood.evaluate(own, scores).items():
        # Pillow rounds in another place, which may move one of the images past some of the others.
        assert last[name] == pytest.approx(value, abs=1.01 / len(files) if "fpr95" in name else 0.02), name


def test_a_finished_cell_is_measured_in_its_own_precision(root: Path, runs: Path, tmp_path: Path) -> None:
    """On a machine whose own precision is another one."""
    out = tmp_path / "runs"
    shutil.copytree(runs / "without", out)
    (first,) = runs.glob("with/cells/*/ood-*.json")
    prepared = prepare(root, out, ood=FLOWERS)
    printed = StringIO()
    other = dataclasses.replace(prepared, machine=dataclasses.replace(prepared.machine, bf16=True))
    launch.execute(other, Console(file=printed, width=500))
    assert (cells(out)[0] / first.name).read_bytes() == first.read_bytes()


def test_a_finished_cell_is_measured_from_its_weights_or_named(
    root: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    shutil.copytree(runs / "without", out)
    ((first,), (cell,)) = list(runs.glob("with/cells/*/ood-*.json")), cells(out)
    assert "not computed" not in run(root, out, ood=FLOWERS)
    assert "measuring 1 finished cells on other data sets" in capsys.readouterr().err
    later = cell / first.name
    assert first.read_bytes() == later.read_bytes()
    # A damaged file is measured again, a sound one is not.
    later.write_text("{}")
    run(root, out, ood=FLOWERS)
    assert first.read_bytes() == later.read_bytes()
    capsys.readouterr()
    run(root, out, ood=FLOWERS)
    assert capsys.readouterr().err == ""
    # Without weights there is a line, and nothing is trained again.
    later.unlink()
    (cell / "weights.pt").unlink()
    printed = run(root, out, ood=FLOWERS)
    assert printed.startswith("not computed: folder(path=flowers) for 1 cells that were finished before")
    assert not later.exists()
    assert headbench.load(out, "tiny")["ood_auroc_energy"].isna().all()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("digits", r"grid 'tiny', ood: 'digits' is the data set of cells of this grid, not another one"),
        (["cifar10", "cifar10"], r"ood: 'cifar10' is named twice"),
        ("cifra10", r"ood: unknown data set 'cifra10'; did you mean 'cifar10'"),
        ({"name": "folder", "pth": "x"}, r"ood, data set 'folder': unknown key 'pth'; did you mean 'path'"),
        (5, r"ood: Input should be a valid tuple \(got 5\)"),
        ({"name": "folder", "path": "weeds"}, r"ood: data set 'folder': there is no folder .*weeds"),
        ("digits-3-5-8", r"109 of the 109 test images of 'digits-3-5-8' are in the test part of 'digits'"),
    ],
)
def test_what_cannot_be_measured_is_one_line_before_training(
    named: Any, message: str, root: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        prepare(root, tmp_path, ood=named)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [{"size": 8}, {"stream": True, "size": 12}])
def test_the_own_images_at_another_size_are_no_other_data_set(how: dict[str, Any], root: Path, tmp_path: Path) -> None:
    axes = {"dataset": [FLOWERS]}
    message = (
        rf"'folder\(path=flowers.*\)' is read from {root.resolve()}.*, as is 'folder\(path=flowers\)', to which cells"
    )
    with pytest.raises(UserError, match=message):
        prepare(root, tmp_path, axes=axes, ood=FLOWERS | how, recipe=QUICK | {"batch_size": 2, "epochs": 4})
    assert list(tmp_path.iterdir()) == []


def test_scores_are_rounded_as_those_of_the_own_images_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many are stored in half precision: of scores that are alike there, none is higher."""
    own = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float16)
    monkeypatch.setattr(evaluate, "embed", lambda *_: None)
    monkeypatch.setattr(evaluate, "scores", lambda *_: own.astype(np.float32) * np.float32(1 + 1e-5))
    samples = ImageSet(torch.zeros(40, 1, 2, 2, dtype=torch.uint8), torch.zeros(40, dtype=torch.int64))
    other = Foreign("other", samples, (1, 2, 2), ((0.0,), (1.0,)), CPU.device)
    nothing: Any = None
    metrics = measure.measure(nothing, own, {"key": other})["key"]["metrics"]
    assert [metrics[name] for name in ood.METRICS[:3]] == pytest.approx([0.5] * 3)
