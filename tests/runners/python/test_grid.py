"""A grid from Python."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import headbench
from headbench.core.errors import UserError
from headbench.runners.commands.main import main
from headbench.runners.python import given
from headbench.runners.training import hardware
from tests.runners.helpers import grid

SETTINGS: dict[str, Any] = {"threads": 1, "device": "cpu", "precision": "auto"}


def of_torch() -> list[Any]:
    settings = torch.get_num_threads(), torch.get_deterministic_debug_mode(), torch.get_float32_matmul_precision()
    return [*settings, torch.get_rng_state().tolist()]


def test_a_grid_is_trained_once_and_comes_back_as_a_frame_and_torch_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("a GPU was asked for"))
    torch.set_float32_matmul_precision("high")
    before, out = of_torch(), tmp_path / "runs"
    asked: dict[str, Any] = SETTINGS | {"out": out, "data": tmp_path, "where": {"seed": [1]}}
    asked |= {"recipe.epochs": 1, "axes.seed": np.arange(2), "val_fraction": 0.2}
    rows = headbench.run(grid(), **asked)
    assert set(rows["selection"]) == {"last", "best_val", "best_test"}
    assert (rows["epochs"].iloc[0], rows["protocol"].iloc[0], set(rows["seed"])) == (1, "holdout-0.2", {1})
    name = rows["grid"].iloc[0]
    assert name.startswith("tiny+")
    files = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")}
    assert headbench.run(grid(), **asked).equals(rows)
    assert {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")} == files
    assert headbench.load(str(out), name).equals(rows)
    assert of_torch() == before
    torch.set_float32_matmul_precision("highest")


def test_what_a_caller_has_set_changes_no_number_and_is_left_as_it_was(tmp_path: Path) -> None:
    """Autocast, and the newer settings of torch, beside which the older ones cannot be read."""
    asked: dict[str, Any] = SETTINGS | {"data": tmp_path, "recipe.epochs": 1, "precision": "fp32"}
    expected = headbench.run(grid(), out=tmp_path / "plain", **asked)["nll"].tolist()
    kinds = hardware.products()
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "tf32"
        for kind in kinds[3:]:  # of oneDNN, on a CPU
            kind.fp32_precision = "bf16"
        with torch.autocast("cpu", torch.bfloat16):
            found = headbench.run(grid(), out=tmp_path / "set", **asked)["nll"].tolist()
            assert torch.is_autocast_enabled("cpu")
        assert [kind.fp32_precision for kind in kinds] == ["tf32"] * len(kinds[:3]) + ["bf16"] * len(kinds[3:])
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision
    assert found == expected


@contextmanager
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "around",
    [
        nullcontext,
        lambda: torch.autocast("cpu", torch.bfloat16),
        torch.no_grad,
        torch.inference_mode,
        doubles,
        lambda: torch.device("meta"),
    ],
    ids=["plain", "autocast", "no_grad", "inference_mode", "float64", "meta"],
)
def test_bfloat16_trains_the_same_weights_as_the_command_whatever_a_caller_has_set(
    around: Callable[[], AbstractContextManager[Any]], tmp_path: Path
) -> None:
    """Within an outer autocast torch may keep the weights of the first step."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(grid()))
    words = (
        f"--grid {path} --precision bf16 --threads 1 --workers 1 --device cpu --no-report --out {tmp_path / 'command'}"
    )
    assert main(words.split()) == 0
    with around():
        headbench.run(path, out=tmp_path / "python", **SETTINGS | {"precision": "bf16"})
    expected, found = (headbench.load(str(tmp_path / name), "tiny+bf16") for name in ("command", "python"))
    assert found["cell_id"].equals(expected["cell_id"])
    assert found[["top1", "nll", "val_top1", "train_loss"]].equals(expected[["top1", "nll", "val_top1", "train_loss"]])


@pytest.mark.skipif(not hardware.products(), reason="torch before 2.9 has one setting of all")
def test_a_precision_that_a_caller_has_set_for_all_products_stays_one_of_all(tmp_path: Path) -> None:
    kinds, backends = hardware.products(), cast(Any, torch.backends)
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "none"
        backends.fp32_precision = "tf32"
        headbench.run(grid(), out=tmp_path, data=tmp_path, **SETTINGS | {"recipe.epochs": 1})
        backends.fp32_precision = "ieee"
        assert {kind.fp32_precision for kind in kinds} == {"ieee"}
    finally:
        backends.fp32_precision = "none"
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"wokers": 2}, "run: unknown argument 'wokers'; did you mean 'workers'"),
        ({"recipe.epoch": 2}, "unknown key 'epoch'; did you mean 'epochs'"),
        ({"device": "gpu"}, "run: device: unknown 'gpu'; .*known: auto, cpu, cuda"),
        ({"workers": 0}, "run: workers: 0 is not at least 1"),
        ({"axes.head": ["etff"]}, "unknown head 'etff'; did you mean 'etf'"),
        ({"device": torch.device("cuda:0")}, "run: device: unknown 'cuda:0'; did you mean 'cuda'"),
        ({"threads": 10**6}, "run: threads: 1000000 is more than 1,024"),
        ({"checkpoint_minutes": float("inf")}, "run: checkpoint_minutes: inf is more than 100,000"),
        ({"workers": "two"}, "run: workers: 'two' is not a whole number"),
        ({"workers": 1.5}, "run: workers: 1.5 is not a whole number"),
        ({"devices": None}, "run: devices: None is not a whole number"),
        ({"readers": "a"}, "run: readers: 'a' is not a whole number"),
        ({"checkpoint_minutes": "x"}, "run: checkpoint_minutes: 'x' is not a number"),
        ({"checkpoint_minutes": float("nan")}, "run: checkpoint_minutes: nan is not at least 0"),
        ({"where": "seed=0"}, "run: where: 'seed=0' is no mapping; give values by key"),
        ({"where": ["seed=0"]}, "run: where: a list is no mapping"),
        ({"where": []}, "run: where: a list is no mapping"),
        ({"where": {"seed": []}}, "--where: no value for seed; known: 0"),
        ({"tuned": {}}, "run: tuned: a dict is no path; give a text or a Path"),
        ({"data": 3}, "run: data: 3 is no path"),
        ({"out": None}, "run: out: None is no path"),
        ({"out": __file__}, "run: out: .*test_grid.py is a file; name a folder, which need not exist yet"),
        ({"out": f"{__file__}/x"}, "run: out: .*test_grid.py is a file"),
        ({"out": "/proc/x"}, "--out: cannot make the folder /proc/x/tiny: No such file or directory"),
        ({"out": "/proc/x", "purpose": "tune"}, "--out: cannot make the folder /proc/x: No such file or directory"),
        ({"grid": None}, "run: grid: None is no grid; give a name, a .yaml file or a dict"),
        ({"grid": [grid()]}, "run: grid: a list is no grid"),
        ({"grid": pd.DataFrame([grid()])}, "run: grid: a DataFrame is no grid"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    usual: dict[str, Any] = {"grid": grid(), "out": tmp_path, "data": tmp_path}
    with pytest.raises(UserError, match=message) as raised:
        headbench.run(**usual | asked)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"retry_failed": "no"}, "tune: retry_failed: 'no' is neither True nor False"),
        ({"timeout": "x"}, "--timeout: 'x' is not a number of seconds"),
        ({"objective": None}, "--objective: unknown 'None'; known: val_ece, val_nll, val_top1"),
        ({"where": "seed=0"}, "tune: where: 'seed=0' is no mapping"),
        ({"threads": 1.5}, "tune: threads: 1.5 is not a whole number"),
        ({"out": "/proc/x"}, "--out: cannot make the folder /proc/x/tiny/search: No such file or directory"),
    ],
)
def test_a_wrong_argument_of_a_search_is_one_clear_line(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        headbench.tune(grid(), trials=1, **({"out": tmp_path, "data": tmp_path} | asked))


def test_values_are_taken_in_the_types_that_python_has_for_them() -> None:
    asked = {"axes.seed": range(2), "axes.head": {"psc", "etf"}, "axes.feature_dim": {np.int64(5): None}.keys()}
    assert given.words(asked) == ["axes.seed=[0, 1]", 'axes.head=["etf", "psc"]', "axes.feature_dim=[5]"]
    assert given.plain({"val_fraction": np.float64(0.5), "grid": Path("a"), "seeds": {10, 2}, "none": b""}) == {
        "val_fraction": 0.5,
        "grid": "a",
        "seeds": [2, 10],
        "none": "b''",
    }


def test_a_device_of_torch_is_as_good_as_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data folder .*nowhere does not exist"):
        headbench.run(grid(), out=tmp_path, data=tmp_path / "nowhere", device=torch.device("cpu"))


@pytest.mark.parametrize("name", ["again", None, "../there/first", ["first"]])
def test_a_grid_that_is_not_there_is_one_line_with_those_that_are(name: Any, tmp_path: Path) -> None:
    there = tmp_path / "there" / "first"
    there.mkdir(parents=True)
    (there / "grid.yaml").touch()
    with pytest.raises(UserError, match=r"no results of a grid '.*' in .*there; .*known: first$"):
        headbench.load(there.parent, name)
    with pytest.raises(UserError, match="no results of any grid in .*elsewhere, so none of"):
        headbench.load(tmp_path / "elsewhere", name)
    with pytest.raises(UserError, match="load: out: None is no path"):
        headbench.load(None, name)  # type: ignore[arg-type]
