"""The command line, as a user meets it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from headbench import results
from headbench.core import version
from headbench.data import DATASETS
from headbench.heads.geometry import methods
from headbench.heads.geometry.certificate import max_cosine
from headbench.runners.commands.main import main
from headbench.runners.inspection import certificates
from tests.data.helpers import random_images, save
from tests.forked import launched
from tests.runners.helpers import QUICK, TINY

ROOT = Path(__file__).parents[1]


@pytest.fixture
def small_grid(tmp_path: Path) -> Path:
    """A grid file of four quick cells, one of them not applicable."""
    axes = {"dataset": ["digits"], "backbone": [TINY], "head": ["psc", "etf"], "feature_dim": [5, 9]}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({"name": "small", "recipe": QUICK, "axes": axes}))
    return path


def refused(words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a command that must be refused: status 2, one line on stderr, nothing trained or written."""
    for module in ("queue", "workers"):
        monkeypatch.setattr(f"headbench.runners.execution.{module}.run", lambda *_, **__: pytest.fail("trained"))
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("bench.py: ")
    return printed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--grid", "digits-dim"], "unknown grid 'digits-dim'; did you mean 'digits-dims'"),
        (["--grid", "nowhere.yaml"], "there is no grid file nowhere.yaml"),
        (["--set", "axes.head=psc,etff"], "unknown head 'etff'; did you mean 'etf'"),
        (["--set", "axes.dataset=digit"], "unknown data set 'digit'; did you mean 'digits'"),
        (["--set", "axes.feature_dim=0"], "(got 0)"),
        (["--set", "recipe.epoch=3"], "unknown key 'epoch'; did you mean 'epochs'"),
        (["--set", "recipe.epochs=0"], "(got 0)"),
        (["--where", "head=pcs"], "no cell has head 'pcs'; did you mean 'psc'"),
        (["--where", "heads=psc"], "unknown key 'heads'; did you mean 'head'"),
        (["--gird", "x"], "unknown argument '--gird'; did you mean '--grid'"),
        (["--epochs", "3"], "did you mean '--set recipe.epochs=...'?"),
        (["tune", "--trials", "2", "--feature-dim=3"], "did you mean '--set axes.feature_dim=...'?"),
        (["report", "--thread", "2"], "unknown argument '--thread'"),
        (["report", "--epochs", "3"], "it is a key of a grid: 'bench.py run --set recipe.epochs=...' trains"),
        (["import", "tests", "--head", "x", "--dataset", "digits"], "is a folder, and scores are a file; own images"),
        (
            ["digits-dims"],
            "unknown command 'digits-dims'; known: claims, clean, compare, data, export, import, leaderboard, list, "
            "merge, prototypes, publish, record, report, run, speed, status, submit, toy, tune; a grid is named with "
            "--grid",
        ),
        (["reprot"], "unknown command 'reprot'; did you mean 'report'"),
        (["--threads", "0"], "--threads: 0 is not at least 1"),
        (["--threads", "many"], "argument --threads: invalid int value: 'many'"),
        (["--precision", "fp16"], "argument --precision: invalid choice: 'fp16'"),
        (["--data", "/nowhere/at/all"], "the data folder /nowhere/at/all does not exist"),
        (["--plugin", "nowhere.py"], "there is no Python file nowhere.py"),
        (["list", "head"], "invalid choice: 'head'"),
        (["data", "lst"], "invalid choice: 'lst'"),
        (["data"], "the following arguments are required"),
        (["data", "show", "digit"], "unknown data set 'digit'; did you mean 'digits'"),
        (["data", "show", "digits", "--recipe", "fst"], "unknown recipe 'fst'; did you mean 'fast'"),
        (["data", "show", "digits", "--view", "simclear"], "unknown view 'simclear'; did you mean 'simclr'"),
        (["data", "show", "digits", "--imbalance-factor", "0.01"], "--imbalance-factor: 0.01 is not at least 1"),
        (["data", "show", "digits", "--imbalance-factor", "nan"], "--imbalance-factor: nan is not at least 1"),
        (["data", "show", "digits", "--png", "sheet"], "--png: 'sheet' does not end in .png"),
        (["--workers", "0"], "--workers: 0 is not at least 1"),
        (["status", "--out", "/nowhere"], "no results of any grid in /nowhere"),
        (["clean", "--out", "/nowhere"], "clean: there is no folder /nowhere"),
        (["report", "--out", "a", "--out", "b"], "--out is given twice; name all values after one"),
        (["import", "x.npz", "--head", "h", "--dataset", "digits", "--datset", "cifar10"], "did you mean '--dataset'?"),
        (["publish", "--tp", "x.zip"], "did you mean '--to'?"),
        (
            ["report", "--set", "recipe.lr=1"],
            "'--set'; an argument of run, submit slurm, submit ray, tune, not of report",
        ),
        (["submit", "slurm", "--address", "x"], "'--address'; an argument of submit ray, not of submit slurm; known: "),
        (["--set", "recipe.momentum=0"], "nesterov needs a momentum above 0"),
        (
            ["--set", "recipe.policy=rand-m9"],
            "policy 'rand-m9' is timm's, for streamed images; images in memory have auto",
        ),
        (["--set", "recipe.color_jitter=0.4"], "color_jitter is for streamed images"),
        (["--set", "recipe.epochs=1", "recipe.batch_size=320"], "4 steps are too few for a warm-up"),
        (["--out", "/dev/null"], "--out: /dev/null is a file; name a folder"),
        (["--dry-run", "--out", "/dev/null"], "--out: /dev/null is a file; name a folder"),
        (["data", "show", "digits", "--recipe", "lt"], "normalisation is for 3 channels, the images have 1"),
        (["data", "verify", "folder", "size=-1"], "data set 'folder': size: "),
        (["data", "verify", "folder", "path=nowhere"], "data set 'folder': there is no folder"),
        (["prototypes"], "the number of classes and the dimension are missing"),
        (["prototypes", "10"], "the number of classes and the dimension are missing"),
        (["prototypes", "1", "3"], "1 classes in 3 dimensions; at least 2 classes"),
        (["prototypes", "10", "0"], "10 classes in 0 dimensions"),
        (["prototypes", "6", "2", "--seed", "-1"], "--seed: -1 is below 0"),
        (["prototypes", "6", "2", "--png", "x"], "--png: 'x' does not end in .png"),
        (["prototypes", "6", "5", "--png", "x.png"], "can be drawn in 2 and 3 dimensions, not in 5"),
        (["prototypes", "100000", "3"], "more than can be computed here"),
        (["prototypes", "10", "300000"], "more than can be computed here"),
        (["--set", "recipe.loss_scale={hpn: 3}"], "loss_scale: unknown loss 'hpn'"),
        (["prototypes", "ten", "3"], "invalid int value: 'ten'"),
        (["prototypes", "10", "3", "--method", "simplx"], "unknown method 'simplx'; did you mean 'simplex'"),
        (["prototypes", "10", "3", "--method", "simplex"], "simplex prototypes of 10 classes need d >= 9"),
        (
            ["--set", "axes.head=[{name: hpn, prototypes: seperated}]"],
            "unknown method 'seperated'; did you mean 'separated'",
        ),
        (["--set", "axes.head=[{name: dl2pa, queue: last}]"], "queue: "),
        (["report", "--out", "/nowhere"], "no results of any grid in /nowhere"),
        (["--workers", "-1"], "--workers: -1 is not at least 1"),
        (["--checkpoint-minutes", "nan"], "--checkpoint-minutes: nan is not at least 0"),
        (["--threads", "100000"], "--threads: 100000 is more than 1,024"),
        (["data", "show", "digits", "--imbalance-factor", "inf"], "--imbalance-factor: inf is more than "),
        (["report", "--bins", "1000000000"], "--bins: 1000000000 is more than "),
        (["--data", ""], "an empty path is given"),
        (["--grid", "/tmp.yaml/x.yaml"], "there is no grid file /tmp.yaml/x.yaml"),
        (["--grid", "\udcff.yaml"], "the argument '\\udcff.yaml' is no text in UTF-8"),
        (["--name", "../x"], "name: a grid's name consists of letters"),
        (["--name", "cells"], "name: the name 'cells' is reserved"),
        (["--name", ""], "name: a grid's name consists of letters"),
        (["report", "--grid", "../x", "--out", "/nowhere"], "no results of any grid in /nowhere"),
        (["--set", "recipe.lr=.inf"], "--set: cannot read the value of 'recipe.lr=.inf': .inf is not a finite number"),
        (["--set", "axes.seed=010"], "--set: cannot read the value of 'axes.seed=010': '010' is not read as a number"),
        (["--set", "axes.seed=0,1:30"], "did you mean 90?"),
        (["--set", "axes.head=[{name: hpn, name: psc}]"], "the key 'name' is given twice"),
        (["--set", "axes.seed="], "is not of the form key=value"),
        (["--set", "axes.seed=[]"], "axes.seed: Tuple should have at least 1 item"),
        (["--set", "axes.seed=true"], "valid integer (got True)"),
        (["--set", "recipe=5", "recipe.epochs=3"], "recipe: "),
        (["--set", "axes.recipe=5", "recipe.epochs=3"], "axes.recipe.0: "),
        (["--set", "recipe.epochs=[1, 2]"], "epochs: Input should be a valid integer (got [1, 2])"),
        (["--set", "projection=[linear, none]"], "projection: "),
        (["--where", "seed=010"], "--where: cannot read the value of 'seed=010'"),
        (["--where", "head=[[psc]]"], "no cell has head "),
        (["--where", "head=etf", "feature_dim=7"], "no cell has feature_dim '7'"),
        (["--where", 'head="a\\nb"'], "no cell has head 'a b'"),
        (["--plugin", "README.md"], "there is no Python file README.md (its name must end in .py)"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert message in refused(words, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": {"haed": ["psc"]}}, "small.yaml: unknown key 'axes.haed'; did you mean 'head'"),
        ({"recepi": "fast"}, "small.yaml: unknown key 'recepi'; did you mean 'recipe'"),
    ],
)
def test_a_wrong_key_in_a_grid_file(
    change: dict[str, object],
    message: str,
    small_grid: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contents = yaml.safe_load(small_grid.read_text())
    for key, value in change.items():
        contents[key] = contents.get(key, {}) | value if isinstance(value, dict) else value
    small_grid.write_text(yaml.safe_dump(contents))
    assert message in refused(["--grid", str(small_grid)], capsys, monkeypatch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({True: "on"}, "small.yaml: "),
        ({"axes": [1]}, "small.yaml: axes: "),
        ({"recipe": 5}, "small.yaml: recipe: "),
        ({"overrides": [{"where": {}, "set": {"dataset": 5}}]}, "overrides.set: dataset: "),
        (
            {"overrides": [{"where": {}, "set": {"head": {"nmae": "hpn"}}}]},
            "overrides.set: head: name: required, but missing",
        ),
        (
            {"overrides": [{"where": {"seed": 0}, "set": {"imbalance_factor": 0.5}}]},
            "greater than or equal to 1 (got 0.5)",
        ),
        ({"overrides": [{"where": {1: 0}, "set": {}}]}, "overrides.0.where.1"),
    ],
)
def test_odd_grid_files_are_one_line_with_and_without_changes(
    change: dict[object, object],
    message: str,
    small_grid: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_grid.write_text(yaml.safe_dump(yaml.safe_load(small_grid.read_text()) | change))
    assert message in refused(["--grid", str(small_grid)], capsys, monkeypatch)
    assert message in refused(
        ["--grid", str(small_grid), "--set", "recipe.epochs=3", "axes.seed=0"], capsys, monkeypatch
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: again\n", "grid small.yaml: the key 'name' is given twice, first in line 7 (line 9)"),
        (
            "val_fraction: 0_1\n",
            "grid small.yaml: val_fraction: '0_1' is not read as a number, since numbers are decimal; did you mean 1? ",
        ),
        ("split_seed: yes\n", "grid small.yaml: split_seed: Input should be a valid integer (got True) (line 9)"),
        (
            "overrides: [{where: {head: hpnn}, set: {recipe.lr: 0.5}}]\n",
            "grid small.yaml, overrides.where: no cell has head 'hpnn'; known: etf, psc (line 9)",
        ),
        ("description: [[[" + "[" * 5000 + "\n", "grid small.yaml: nested more than 30 levels deep"),
    ],
)
def test_a_grid_file_loses_nothing_in_silence(
    text: str, message: str, small_grid: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "axes:",
        "  dataset: [digits]",
        "  backbone:",
        "  - {name: fast_convnet, widths: [4, 6, 8]}",
        "  head: [psc, etf]",
        "  feature_dim: [5, 9]",
    ]
    small_grid.write_text("\n".join([*lines, "name: small", "recipe: fast", text]))
    assert message in refused(["--grid", str(small_grid)], capsys, monkeypatch)


def test_an_installed_package_is_not_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs" / "small").mkdir(parents=True)
    (tmp_path / "runs" / "small" / "grid.yaml").touch()
    monkeypatch.setattr(version, "ROOT", tmp_path / "headbench")
    for words in (["record", "--grid", "small", "--out", str(tmp_path / "runs")], ["prototypes", "--rebuild-table"]):
        assert "this is an installed package" in refused(words, capsys, monkeypatch)


@pytest.mark.usefixtures("no_pictures")
def test_another_precision_is_another_grid(
    small_grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--grid", str(small_grid), "--out", str(tmp_path / "runs"), "--where", "head=psc", "feature_dim=5"]
    assert main([*words, "--precision", "fp32"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir() if path.name != "cells") == ["small+fp32"]


@pytest.mark.parametrize("text", ["[1, 2", "just words", "- a list", "\x00"])
def test_a_grid_file_that_is_none(
    text: str, small_grid: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_grid.write_text(text)
    assert "small.yaml: not a " in refused(["--grid", str(small_grid)], capsys, monkeypatch)


def test_a_data_folder_without_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", refuse)
    error = refused(["--grid", "cifar10-dims", "--data", str(tmp_path)], capsys, monkeypatch)
    assert (
        f"CIFAR10 is not (whole) in {tmp_path / 'cifar-10-batches-py'} and could not be downloaded (no network)"
        in error
    )


def test_a_plan_of_long_names_keeps_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 80 columns every cell shows its whole id, seed and state, however long the name of its head."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--grid", "ablation-geometry", "--dry-run", "--out", str(tmp_path / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [
        line for line in lines if re.match(r"│ [0-9a-f]{16} │ .* │ [36] │ [0-9] +│ 1293  │ 144 │ 360  │ to do", line)
    ]
    assert lines[-1] == f"{len(cells)} of {len(cells)} cells to train"
    assert any("assignment_" in line for line in lines)


@pytest.mark.usefixtures("no_pictures")
def test_a_grid_from_start_to_report_and_again(
    small_grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    words = ["--grid", str(small_grid), "--out", str(out)]
    assert main([*words, "--dry-run"]) == 0
    assert "3 of 4 cells to train" in capsys.readouterr().out
    assert not out.exists()
    assert main([*words, "--workers", "1", "--where", "head=psc", "--where", "feature_dim=5"]) == 0
    assert "[1/1] digits psc d=5 seed=0:" in capsys.readouterr().out
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "[2/2]" in printed
    assert "not applicable: etf, 1 cells: a simplex ETF of 10 classes needs d >= 9\n" in printed.split("[1/2]")[0]
    assert "n/a" in printed
    assert printed.rstrip().endswith(str(out / "small" / "report.html"))
    rows = pd.read_csv(out / "small" / "results.csv")
    assert rows["status"].value_counts().to_dict() == {"done": 9, "not_applicable": 1}
    finished = {path: path.read_bytes() for path in (out / "cells").rglob("*") if path.is_file()}
    assert main(words) == 0
    assert "[" not in capsys.readouterr().out.split("Top-1")[0]
    assert {path: path.read_bytes() for path in (out / "cells").rglob("*") if path.is_file()} == finished
    for name in ("small", str(small_grid)):
        assert main(["report", "--grid", name, "--out", str(out)]) == 0


def test_a_failed_cell_gives_status_1_and_is_named(
    small_grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr("headbench.runners.execution.cell.resume", fail)
    assert (
        main(
            [
                "--grid",
                str(small_grid),
                "--out",
                str(tmp_path / "runs"),
                "--workers",
                "1",
                "--where",
                "head=psc",
                "feature_dim=5",
            ]
        )
        == 1
    )
    assert "psc d=5 seed=0: RuntimeError: no luck" in capsys.readouterr().out


def test_a_plugin_brings_a_head(small_grid: Path, tmp_path: Path) -> None:
    """The example of CONTRIBUTING.md, word for word, in two workers; its file is called like a standard module."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    plugin = tmp_path / "random.py"
    plugin.write_text(text.split("```python\n")[1].split("```")[0])
    out = tmp_path / "runs"
    words = ["--grid", str(small_grid), "--out", str(out), "--plugin", str(plugin), "--set", "axes.head=my-cosine"]
    process = launched([*words, "--name", "mine", "--workers", "2", "--no-report"])
    printed = process.communicate()
    assert process.returncode == 0, printed
    rows = results.load(out, "mine")
    assert rows["head"].unique().tolist() == ["my-cosine"]
    assert rows["status"].unique().tolist() == ["done"]


def test_lists_name_everything(capsys: pytest.CaptureFixture[str]) -> None:
    for what, name in (
        ("heads", "dl2pa"),
        ("backbones", "resnet32"),
        ("datasets", "cifar100"),
        ("recipes", "paper"),
        ("grids", "cifar10-dims"),
    ):
        assert main(["list", what]) == 0
        assert name in capsys.readouterr().out


def test_an_interrupt_keeps_what_is_finished(
    small_grid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("headbench.runners.execution.cell.resume", interrupt)
    assert main(["--grid", str(small_grid), "--out", str(tmp_path / "runs"), "--workers", "1"]) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    assert not list((tmp_path / "runs" / "cells").rglob("error.txt"))


def test_data_list_verify_and_show(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, part in enumerate(("train", "test")):
        for c, name in enumerate(("lily", "rose")):
            for n, image in enumerate(random_images(6, 2 * seed + c, 16)):
                save(data_root / "flowers" / part / name / f"{n}.png", image)
    where = ["--data", str(data_root)]
    assert main(["data", "verify", "folder", "path=flowers", *where]) == 0
    assert "12 train + 12 test, 2 classes" in capsys.readouterr().out
    assert main(["data", "verify", *where]) == 0
    assert capsys.readouterr().out.rstrip().endswith(": whole")
    sheet = tmp_path / "sheets" / "flowers.png"
    assert (
        main(["data", "show", "folder", "--count", "12", "path=flowers", "--recipe", "lt", "--png", str(sheet), *where])
        == 0
    )
    with Image.open(sheet) as picture:
        assert picture.size[0] > 1000
    assert "not shown" not in capsys.readouterr().err
    streamed = ["path=flowers", "stream=true", "size=16", "--count", "2", "--png", str(sheet)]
    assert main(["data", "show", "folder", *streamed, "--recipe", "lt-short", *where]) == 0
    assert "note: recipe 'lt-short': not shown: pad, cutout, which these images" in capsys.readouterr().err
    assert main(["data", "list", *where]) == 0
    assert "svhn-lt-refbug" in capsys.readouterr().out
    damaged = next((data_root / ".headbench").glob("folder-*/train_images.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    assert main(["data", "verify", *where]) == 2
    assert "train_images.npy: not what was written" in capsys.readouterr().err


@pytest.mark.usefixtures("no_pictures")
def test_a_long_tailed_grid_trains_and_shows_its_groups(
    tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    axes = {
        "dataset": ["digits"],
        "imbalance_factor": [10],
        "backbone": [TINY],
        "head": ["psc", "hpn"],
        "feature_dim": [8],
    }
    grid = tmp_path / "tail.yaml"
    grid.write_text(
        yaml.safe_dump(
            {
                "name": "tail",
                "recipe": QUICK | {"mixup": 1.0, "cutout": 2},
                "projection": "none",
                "val_fraction": 0,
                "axes": axes,
            }
        )
    )
    words = ["--grid", str(grid), "--out", str(tmp_path / "runs"), "--data", str(data_root), "--threads", "1"]
    assert main([*words, "--dry-run"]) == 0
    available = torch.bincount(DATASETS.get("digits").target(data_root).train.labels).tolist()
    drawn = sum(min(int(143.7 * 10 ** (-c / 9)), available[c]) for c in range(10))
    assert f" {drawn} " in capsys.readouterr().out
    assert main(words) == 0
    rows = results.load(tmp_path / "runs", "tail")
    assert set(rows["protocol"]) == {"published"}
    assert set(rows["imbalance_factor"]) == {10}
    assert set(rows["n_train"]) == {drawn}
    assert set(rows["selection"]) == {"last", "best_test"}
    assert rows["many_accuracy"].notna().all()
    assert (tmp_path / "runs" / "tail" / "tables" / "digits-groups-last.md").is_file()


def test_certificates_are_printed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "RESTARTS", 2)
    monkeypatch.setattr(methods, "PROJECTED_STEPS", 50)
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path / "cache"))
    assert main(["prototypes", "5", "2", "--compare", "--png", str(tmp_path / "five.png")]) == 0
    printed = capsys.readouterr()
    for method in ("separated", "uniform", "hpn-pgd", "ebv", "random"):
        assert method in printed.out
    assert "lower bound of the largest cosine: 0.30902 (polygon)" in printed.out
    assert "orthoplex prototypes of 5 classes need d >= 3" in printed.err
    with Image.open(tmp_path / "five.png") as picture:
        assert picture.size[0] > 800


def test_the_table_of_prototypes_can_be_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "TABLE_SIZES", ((10, 3), (12, 3)))
    monkeypatch.setattr(methods, "RESTARTS", 8)
    monkeypatch.setenv("HEADBENCH_CACHE", str(tmp_path / "cache"))
    assert [size for size, _ in certificates.rebuild_table(tmp_path / "table.npz")] == [(10, 3), (12, 3)]
    with np.load(tmp_path / "table.npz") as table:
        assert {name: points.shape for name, points in table.items()} == {"10x3": (10, 3), "12x3": (12, 3)}
        assert max_cosine(table["10x3"]) == pytest.approx(max_cosine(methods.shipped_table()[10, 3]), abs=1e-5)


def test_a_closed_pipe_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, str(ROOT / "bench.py"), "list", "grids"], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, "")
