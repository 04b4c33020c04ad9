"""A search sees the training and the validation part alone, and what it finds is trained with fresh seeds."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import headbench
from headbench import results
from headbench.core.errors import UserError
from headbench.data import Dataset, ImageSet
from headbench.results import grid_rows, schema, store
from headbench.results.tables.base import named_comparisons
from headbench.runners.grid import tuned
from headbench.runners.training import parts
from headbench.runners.training.data import Data
from tests.runners.helpers import CPU, QUICK, cell, grid
from tests.runners.search.helpers import TIMES, run, trials

LOAD = parts.load
# What the data's fingerprint is part of.
NAMES = ["study", "cell_id"]


class Untouchable(torch.Tensor):
    """Images that nobody may look at; only their number and shape are told."""

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function not in (torch.Tensor.shape.__get__, torch.Tensor.__len__):  # type: ignore[attr-defined]
            raise AssertionError(f"a test image was read by {function}")
        return super().__torch_function__(function, types, args, kwargs or {})


def poisoned(*arguments: Any) -> Dataset:
    """A data set whose test images cannot be read, with shuffled labels."""
    sound = LOAD(*arguments)
    assert isinstance(sound.test, ImageSet)
    labels = sound.test.labels[torch.randperm(len(sound.test), generator=torch.Generator().manual_seed(0))]
    made = dataclasses.replace(sound, test=ImageSet(sound.test.images.as_subclass(Untouchable), labels))
    made.__dict__["fingerprint"] = "of other test images"
    return made


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of two heads, one of which is fitted on validation after its training."""
    out = tmp_path_factory.mktemp("searched")
    assert run(out, 3, grid(axes={"head": ["psc", "tau-norm"]})).complete
    return out


def test_a_poisoned_test_part_changes_nothing_in_a_search(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "load", poisoned)
    assert run(tmp_path, 3, grid(axes={"head": ["psc", "tau-norm"]})).complete
    found, expected = trials(tmp_path), trials(searched)
    pd.testing.assert_frame_equal(found.drop(columns=TIMES + NAMES), expected.drop(columns=TIMES + NAMES))
    assert set(found["cell_id"]).isdisjoint(expected["cell_id"])
    assert set(found["state"]) == {"complete"}
    assert found["val_top1"].min() > 0
    # The same poison is found where the test part is read: otherwise this shows nothing.
    with pytest.raises(AssertionError, match="a test image was read"):
        Data(Path(), CPU.device).parts(cell()).test.plain_batches().__next__()


def test_features_of_a_frozen_backbone_are_not_computed_for_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path))
    final = cell(recipe=QUICK | {"pad": 0}, freeze="backbone")
    one = final.model_copy(update={"purpose": "tune"})
    with monkeypatch.context() as patch:
        patch.setattr(parts, "load", poisoned)
        laid = Data(Path(), CPU.device).parts(one)
    assert (len(laid.train), len(laid.val), len(laid.test)) == (1293, 144, 0)
    data = Data(Path(), CPU.device)
    before = data.parts(one)
    (folder,) = [path for path in (tmp_path / "features").iterdir() if path.name == _key(data, one)]
    assert not (folder / "test.f32").exists()
    whole = data.parts(final)
    assert (len(before.test), len(whole.test)) == (0, 360)
    assert (folder / "test.f32").is_file()


def _key(data: Data, one: Any) -> str:
    source = data._source(one, data.dataset(one), parts.Division.of(one))
    assert source is not None
    return source.key


def test_the_files_of_a_trial_hold_nothing_of_test(searched: Path) -> None:
    for cell_id in trials(searched)["cell_id"]:
        folder = store.cell_folder(searched, cell_id)
        result = store.read_result(folder)
        assert result is not None
        assert result["purpose"] == "tune"
        assert result["selections"].keys() == {"last", "best_val"}
        history = pd.read_csv(folder / "history.csv")
        assert not [name for name in history if str(name).startswith("test")]
        last = result["selections"]["last"]
        stored = store.read_predictions(folder)
        assert stored.keys() == {"val_labels", "val_logits", "best_val_val_logits"}
        assert last["val_top1"] == np.mean(stored["val_logits"].argmax(axis=1) == stored["val_labels"])
        assert yaml.safe_load((folder / "cell.yaml").read_text())["purpose"] == "tune"
        if result["facts"]["head"] == "psc":  # the other is fitted after the last epoch
            assert last["val_top1"] == history["val_top1"].iloc[-1]
            assert last["val_nll"] == pytest.approx(history["val_nll"].iloc[-1])
        measured = result["selections"]["last"] | {"top1": 0.9}
        assert "top1 of a trial" in str(schema.problem(schema.TrialResult, result | {"selections": {"last": measured}}))
    assert not (searched / "tiny" / "grid.yaml").exists()


def test_a_trial_in_the_place_of_a_final_cell_is_no_result_of_it(searched: Path, tmp_path: Path) -> None:
    headbench.run(grid(), out=tmp_path, data=tmp_path, threads=1, device="cpu")
    (final,) = (tmp_path / "cells").iterdir()
    content = store.read_result(store.cell_folder(searched, trials(searched)["cell_id"].iloc[0]))
    assert content is not None
    facts = (store.read_result(final) or {})["facts"]
    store.write_result(final, content | {"cell_id": final.name, "facts": facts}, [])
    row = grid_rows.load(tmp_path, "tiny").iloc[0]
    assert row["status"] == "failed"
    assert "is not of the grid's cell (purpose)" in row["error"]


def test_what_was_found_is_trained_with_fresh_seeds_and_every_table_says_so(searched: Path) -> None:
    file = searched / "tiny" / "tuned.yaml"
    found = {study.where["head"]: study.set for study in tuned.read(file).studies}
    asked: dict[str, Any] = {"out": searched, "data": searched, "threads": 1, "device": "cpu"}
    rows = headbench.run(grid(axes={"head": ["psc", "tau-norm"]}), tuned=file, **asked)
    assert set(rows["grid"]) == {"tiny+tuned"}
    assert set(rows["tuned"]) == {3}
    assert set(rows["head_label"]) == {"psc", "tau-norm"}
    ((described, _),) = named_comparisons(rows).values()
    assert "tuned, 3 trials each" in described
    for _, row in rows.drop_duplicates("cell_id").iterrows():
        trained = store.read_description(store.cell_folder(searched, row["cell_id"]))
        for name, value in found[row["head_label"]].items():
            outer, inner = name.split(".")
            assert trained["recipe" if outer == "recipe" else "head_options"][inner] == value
    plain = headbench.run(grid(), **asked)
    assert set(plain["tuned"]) == {0}
    assert results.load(searched, "tiny+tuned").equals(rows)


@pytest.mark.parametrize(
    ("change", "axes", "message"),
    [
        ({"studies": []}, {}, "no trial has ended yet"),
        ({"set": {"recipe.epochs": 7}}, {}, "study '.*': 'recipe.epochs' is the same for every head, and not searched"),
        ({"set": {"recipe.lr": 50.0}}, {}, "study '.*': recipe.lr 50.0 is none that a search finds from .* to "),
        ({"set": {"head.loss_scale": 2.0}}, {}, "study '.*': 'head.loss_scale' is not searched"),
        ({"trained": {"head_version": 9}}, {}, "no values for psc, .* with head_version 1, but with head_version 9"),
        ({"trained": {"imbalance_profile": "step"}}, {}, "with imbalance_profile exp, but with imbalance_profile step"),
        ({"set": {"recipe.lr": -1}}, {}, "--tuned .*, study '.*': recipe .*: lr: Input should be greater than 0"),
        ({"set": {"lr": 0.1}}, {}, "--tuned .*, study '.*': 'lr' is neither recipe.FIELD nor head.OPTION"),
        ({"trials": -3}, {}, "trials: .*greater than or equal to 0"),
        ({"grit": 1}, {}, "unknown key 'grit'; did you mean 'grid'"),
        ({}, {"head": ["hpn"]}, "it has no values for hpn, d = 5, on digits; search them with bench.py tune, or leave"),
        ({}, {"feature_dim": [6]}, "it has no values for psc, d = 6"),
        ({}, {"seed": [2_000_000_000]}, "seed 2000000000 is that of the search, which is not to be reported"),
    ],
)
def test_values_that_do_not_fit_are_one_clear_line(
    change: dict[str, Any], axes: dict[str, Any], message: str, searched: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load((searched / "tiny" / "tuned.yaml").read_text())
    content["studies"] = [
        study | {name: change[name] for name in ("set", "trials", "trained") if name in change}
        for study in content["studies"]
    ]
    content |= {name: value for name, value in change.items() if name not in ("set", "trials", "trained")}
    file = tmp_path / "tuned.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=message):
        headbench.run(grid(axes=axes), tuned=file, out=tmp_path / "runs", data=tmp_path)
    assert not (tmp_path / "runs").exists()


def test_a_loop_of_ones_own_sees_validation_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "load", poisoned)
    asked: dict[str, Any] = {"out": tmp_path, "data": tmp_path, "threads": 1, "device": "cpu", "purpose": "tune"}
    rows = headbench.run(grid(), **asked | {"recipe.lr": 0.1})
    assert set(rows["selection"]) == {"last", "best_val"}
    assert {"val_top1", "val_nll", "val_ece"} <= set(rows)
    assert not {"top1", "nll", "ece_native"} & set(rows)
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]
    with pytest.raises(UserError, match="digits has no validation part here"):
        headbench.run(grid(), **asked, val_fraction=0)
    with pytest.raises(UserError, match="run: purpose: unknown 'tuned'; did you mean 'tune'"):
        headbench.run(grid(), **asked | {"purpose": "tuned"})
