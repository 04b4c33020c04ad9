"""A frozen backbone and its cached features: a cell on them is the same as with the backbone run in every step."""

import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headbench.core.errors import UserError
from headbench.data.loading.features import Features
from headbench.data.loading.resident import Resident
from headbench.runners.grid.cells import Cell
from headbench.runners.training import classifier, evaluate, features, parts
from headbench.runners.training.classifier import build, unsupported
from headbench.runners.training.data import Data
from headbench.runners.training.features import Source
from headbench.runners.training.parts import Parts
from headbench.runners.training.train import Training
from tests.runners.helpers import CPU, QUICK, cell, digits

STILL = QUICK | {"pad": 0}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))


def probe(head: str = "psc", **changes: Any) -> Cell:
    """A cell with a frozen backbone and no augmentation."""
    return cell(head, **{"recipe": STILL, "freeze": "backbone"} | changes)


@cache
def images() -> Any:
    return parts.load("digits", {}, Path())


def source(one: Cell) -> Source:
    return Source(one, images(), (images().mean, images().std), CPU.device, bf16=False)


def laid(one: Cell) -> Parts:
    """The digits as a run lays them for a cell."""
    return Data(Path(), CPU.device).parts(one)


@pytest.mark.parametrize("head", ["psc", "dl2pa", "throwaway"])
def test_a_cell_on_features_is_the_cell_with_the_backbone_in_every_step(head: str) -> None:
    one = probe(head)
    assert features.are_fixed(one, images())
    whole, cached = (Training(one, data, CPU) for data in (digits(), laid(one)))
    assert isinstance(cached.parts.train, Features)
    for training in (whole, cached):
        training.run(lambda _: None)
    for row, other in zip(whole.history, cached.history, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert row.get("test_top1", 0) == pytest.approx(other.get("test_top1", 0), abs=0.006)
    logits, others = (
        evaluate.scores(training.classifier, evaluate.embed(training.classifier, training.parts.test))
        for training in (whole, cached)
    )
    np.testing.assert_allclose(logits, others, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(whole.classifier.state_dict(), cached.classifier.state_dict(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("head", ["psc", "throwaway"])
def test_a_frozen_backbone_stays_as_it_was_whatever_the_stages(head: str) -> None:
    one = probe(head, recipe=QUICK)
    before = build(one, digits().info(0), bf16=False).backbone.state_dict()
    training = Training(one, digits(), CPU)
    training.run(lambda _: None)
    after = training.classifier.backbone.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    free = Training(cell(head, recipe=QUICK), digits(), CPU)
    free.run(lambda _: None)
    assert not torch.equal(before["stages.0.0.1.running_mean"], free.weights()["backbone.stages.0.0.1.running_mean"])


def test_where_steps_see_other_features_the_backbone_runs() -> None:
    mixed = STILL | {"mixup": 0.2}
    for other in (cell(recipe=STILL), probe(recipe=QUICK), probe(recipe=STILL | {"flip": True}), probe(recipe=mixed)):
        assert not features.are_fixed(other, images())
        assert isinstance(laid(other).train, Resident)


def test_the_parts_of_one_backbone_are_not_those_of_another() -> None:
    data = Data(Path(), CPU.device)
    first, second, free = (data.parts(one).train for one in (probe(), probe(axes={"seed": [1]}), cell(recipe=STILL)))
    assert isinstance(first, Features)
    assert isinstance(second, Features)
    assert isinstance(free, Resident)
    assert not torch.equal(first.features, second.features)
    assert data.parts(probe()).train is not first
    assert data.parts(probe("dl2pa")).train is data.parts(probe()).train


def test_features_are_computed_once_by_all_that_they_depend_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "trained.pt"
    torch.save(build(probe(axes={"seed": [7]}), digits().info(7), bf16=False).state_dict(), file)
    trained = {"name": "fast_convnet", "widths": [4, 6, 8], "weights": str(file)}
    wider = {"name": "fast_convnet", "widths": [4, 6, 10]}
    first = features.of(source(probe()), Path())
    others = [
        features.of(source(probe(axes={"seed": [1]})), Path()),
        features.of(source(probe(axes={"backbone": [trained]})), Path()),
        features.of(source(probe(axes={"backbone": [wider]})), Path()),
        features.of(Source(probe(), images(), ((0.0,), (1.0,)), CPU.device, bf16=False), Path()),
    ]
    for other in others:
        assert other["test"].shape != first["test"].shape or not torch.equal(other["test"], first["test"])
    assert len(list(tmp_path.glob("features/*/meta.json"))) == 5
    monkeypatch.setattr(features, "build_backbone", None)
    again = features.of(source(probe("dl2pa", axes={"feature_dim": [3]})), Path())
    assert all(torch.equal(first[part], again[part]) for part in ("train", "test"))
    # With weights of its own a backbone is the same for every seed.
    features.of(source(probe(axes={"backbone": [trained], "seed": [3]})), Path())


def test_weights_that_change_behind_the_plan_are_refused(tmp_path: Path) -> None:
    """The file is read long after the cell got its identity; its features are for all later cells."""
    file = tmp_path / "trained.pt"

    def write(seed: int) -> None:
        torch.save(build(probe(axes={"seed": [seed]}), digits().info(seed), bf16=False).state_dict(), file)

    write(7)
    one = probe(axes={"backbone": [{"name": "fast_convnet", "widths": [4, 6, 8], "weights": str(file)}]})
    write(8)
    for use in (lambda: features.of(source(one), Path()), lambda: build(one, digits().info(0), bf16=False)):
        with pytest.raises(UserError, match=r"trained.pt has changed since the run began; start it again"):
            use()
    assert not list(tmp_path.glob("features/*/meta.json"))
    write(7)
    features.of(source(one), Path())


def test_a_computation_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {name: rows.clone() for name, rows in features.of(source(probe()), Path()).items()}
    (folder,) = tmp_path.glob("features/*")
    (folder / "meta.json").unlink()
    train = folder / "train.f32"
    train.write_bytes(train.read_bytes()[: 8 * 4 * 1000 + 5])
    seen = []

    def counted(backbone: Any, shown: torch.Tensor, *, bf16: bool) -> torch.Tensor:
        seen.append(len(shown))
        return classifier.pooled(backbone, shown, bf16=bf16)

    monkeypatch.setattr(features, "pooled", counted)
    again = features.of(source(probe()), Path())
    assert all(torch.equal(whole[name], rows) for name, rows in again.items())
    assert seen == [100, 100, 100, 100, 37]


def test_features_that_two_machines_wrote_at_once_are_of_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A lock is one machine's; what both wrote to one file has more rows than there are images."""
    whole = {name: rows.clone() for name, rows in features.of(source(probe()), Path()).items()}
    (folder,) = tmp_path.glob("features/*")
    (train,) = folder.glob("train.f32")
    computed = features._computed

    def beside(source: Any, backbone: Any, part: str, first: int) -> Iterator[torch.Tensor]:
        for rows in computed(source, backbone, part, first):
            if part == "train" and train.stat().st_size < 4000:
                train.write_bytes(train.read_bytes() + rows.numpy().tobytes())
            yield rows

    (folder / "meta.json").unlink()
    train.unlink()
    monkeypatch.setattr(features, "_computed", beside)
    again = features.of(source(probe()), Path())
    assert "another process wrote to them, too" in capsys.readouterr().err
    assert all(torch.equal(whole[name], rows) for name, rows in again.items())
    monkeypatch.undo()
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))
    last = features.of(source(probe()), Path())
    assert all(torch.equal(whole[name], rows) for name, rows in last.items())


@pytest.mark.parametrize("damage", ["a byte", "the end"])
def test_damaged_features_are_computed_anew(damage: str, tmp_path: Path) -> None:
    whole = {name: rows.clone() for name, rows in features.of(source(probe()), Path()).items()}
    (train,) = tmp_path.glob("features/*/train.f32")
    content = bytearray(train.read_bytes())
    content[5] ^= 255
    train.write_bytes(content if damage == "a byte" else content[:-4])
    again = features.of(source(probe()), Path())
    assert all(torch.equal(whole[name], rows) for name, rows in again.items())


def test_where_nothing_can_be_written_features_are_computed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = features.of(source(probe()), Path())
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path / "file"))
    again = features.of(source(probe()), Path())
    assert "cannot write the features" in capsys.readouterr().err
    assert all(torch.equal(kept[name], rows) for name, rows in again.items())


def test_a_directional_head_does_not_apply_in_one_dimension() -> None:
    one = {"axes": {"feature_dim": [1], "dataset": ["digits"]}}
    facts = dataclasses.replace(digits().info(0), class_names=("a", "b"), class_counts=torch.tensor([5, 5]))
    assert "it needs d >= 2" in str(unsupported(cell("psc-cosine", **one), facts))
    assert unsupported(cell("psc", **one), facts) is None


def test_a_head_without_parameters_has_nothing_to_learn_from_a_frozen_backbone() -> None:
    bare = {"axes": {"feature_dim": [8]}, "projection": "none"}
    assert "nothing" in str(unsupported(probe("hpn", **bare), digits().info(0)))
    assert unsupported(probe("psc", **bare), digits().info(0)) is None
    assert unsupported(cell("hpn", **bare), digits().info(0)) is None


def test_samples_that_are_taken_keep_their_features() -> None:
    rows, positions, labels = torch.arange(12.0).reshape(6, 2), torch.tensor([5, 0, 3]), torch.tensor([1, 0, 2])
    few = Features.of(rows, positions, labels, (1, 8, 8), ((0.0,), (1.0,)), CPU.device).taken(torch.tensor([2, 0]))
    assert torch.cat(list(few.plain_batches())).tolist() == [[6, 7], [10, 11]]
    assert few.labels.tolist() == [2, 1]
