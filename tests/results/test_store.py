"""The store writes atomically, and reads what it wrote."""

import base64
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from headbench.core.errors import DamagedError, NewerError
from headbench.results import store
from headbench.results.answers import Answers
from tests.results import helpers


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file.txt"
    store.write_text(path, "old")

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write_text(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def test_a_signal_after_the_renaming_is_still_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = Path.replace

    def interrupted(old: Path, new: Path) -> None:
        renamed(old, new)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write_text(tmp_path / "file.txt", "new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["new"]


def test_results_come_back_and_nan_is_null(tmp_path: Path) -> None:
    assert store.read_result(tmp_path) is None
    folder = written(tmp_path)
    content = json.loads((folder / "result.json").read_text())
    again = {key: value for key, value in content.items() if key not in {"schema", "sha256", "checksum"}} | {
        "new": [1.5, float("nan")]
    }
    store.write_result(folder, again, ["history.csv"])
    result = store.read_result(folder)
    assert result is not None
    assert result["schema"] == store.SCHEMA == 3
    assert result["new"] == [1.5, None]
    assert result["selections"] == content["selections"]
    assert list(result["sha256"]) == ["history.csv"]
    assert "NaN" not in (folder / "result.json").read_text()


def test_arrays_come_back(tmp_path: Path) -> None:
    store.write_arrays(tmp_path / "x.npz", {"a": np.arange(6).reshape(2, 3)})
    with np.load(tmp_path / "x.npz") as stored:
        assert stored.files == ["a"]
        assert stored["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def written(out: Path) -> Path:
    """The folder of a finished cell."""
    return store.cell_folder(out, helpers.write_cell(out, helpers.facts("psc", 2, 0), 20)["cell_id"])


def forge(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a result, with a checksum that is right."""
    content = json.loads((folder / "result.json").read_text())
    content.pop("checksum")
    changed = change(content)
    content = content if changed is None else changed
    checksum = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (folder / "result.json").write_text(
        json.dumps(content | {"checksum": checksum} if isinstance(content, dict) else content)
    )


def put(*path: str | int, value: Any = ...) -> Callable[[dict[str, Any]], None]:
    """A change of one value of a result, by default its removal."""

    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        if value is ...:
            del content[path[-1]]
        else:
            content[path[-1]] = value

    return change


LAST = ("selections", "last")
WRONG = {
    "no object": lambda _: ["a list"],
    "no object but a word": lambda _: "schema",
    "schema a text": put("schema", value="2"),
    "schema a flag": put("schema", value=True),
    "schema a fraction": put("schema", value=2.5),
    "schema of none": put("schema", value=0),
    "no schema": put("schema"),
    "of another cell": put("cell_id", value="other"),
    "climbing cell": put("cell_id", value="../psc-2-0-toy"),
    "selections a list": put("selections", value=[1]),
    "no selections": put("selections", value={}),
    "an unknown selection": put("selections", "best", value={}),
    "a selection that is none": put(*LAST, value=None),
    "facts missing": put("facts"),
    "facts a list": put("facts", value=[]),
    "classes without end": put("facts", "num_classes", value=10**12),
    "seed too large": put("facts", "seed", value=2**64),
    "images below none": put("facts", "n_test", value=-1),
    "provenance missing": put("provenance"),
    "provenance a text": put("provenance", value="cpu"),
    "threads a text": put("provenance", "threads", value="x"),
    "threads none": put("provenance", "threads", value=0),
    "device a number": put("provenance", "device", value=3),
    "device of surrogates": put("provenance", "device", value="\ud800"),
    "a commit without end": put("provenance", "git_commit", value="a" * 10**6),
    "cells per device": put("provenance", "cells_per_device", value=1.5),
    "seconds a text": put("train_seconds", value="x"),
    "seconds below 0": put("train_seconds", value=-1),
    "started a number": put("started_at", value=3),
    "no digests": put("sha256"),
    "digests a list": put("sha256", value=["history.csv"]),
    "no digest": put("sha256", "history.csv", value="abc"),
    "a digest of a file elsewhere": put("sha256", "../../secret", value="0" * 64),
    "a digest of an absolute file": put("sha256", "/etc/passwd", value="0" * 64),
    "a digest of another name for a folder": put("sha256", "..", value="0" * 64),
    "names too few": put("class_names", value=["ant"]),
    "names that are numbers": put("class_names", value=[1, 2, 3, 4]),
    "names that are a text": put("class_names", value="abcd"),
    "accuracies too few": put(*LAST, "per_class_accuracy", value=[0.5]),
    "accuracies above 1": put(*LAST, "per_class_accuracy", value=[2, 0, 0, 0]),
    "no accuracies": put(*LAST, "per_class_accuracy"),
    "answers of other images": put(*LAST, "correct", value="AA=="),
    "answers in no base64": put(*LAST, "correct", value="(((((((("),
    "answers a list": put(*LAST, "correct", value=[1, 0]),
    "health a list": put("health", value=[1]),
    "health deep": put("health", value={"a": {"b": {}}}),
    "no bins": put(*LAST, "calibration_bins", value=0),
    "bins without end": put(*LAST, "calibration_bins", value=10**9),
    "bins a fraction": put(*LAST, "calibration_bins", value=15.5),
    "an unknown view": put(*LAST, "calibration_view", value="<b>"),
    "epoch a fraction": put(*LAST, "epoch", value=1.5),
    "epoch a giant": put(*LAST, "epoch", value=1e30),
    "epoch a flag": put(*LAST, "epoch", value=True),
    "top1 a text": put(*LAST, "top1", value="abc"),
    "top1 unknown": put(*LAST, "top1", value=None),
    "top1 a giant": put(*LAST, "top1", value=1e308),
    "top1 a giant integer": put(*LAST, "top1", value=10**400),
    "top1 in percent": put(*LAST, "top1", value=55.0),
    "top1 a flag": put(*LAST, "top1", value=True),
    "top1 infinite": put(*LAST, "top1", value=float("inf")),
    "top1 not a number": put(*LAST, "top1", value=float("nan")),
    "nll below 0": put(*LAST, "nll", value=-1.0),
    "a metric that is a text": put(*LAST, "nc1", value="=1+1"),
    "a metric that is a list": put(*LAST, "ece_raw_low", value=[0]),
    "an unknown metric that is infinite": put(*LAST, "mine", value=float("inf")),
    "temperature 0": put(*LAST, "temperature", value=0),
    "native scale 0": put("native_scale", value=0),
    "native scale of a selection below 0": put(*LAST, "native_scale", value=-3.0),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_result_that_is_none_is_damaged_though_its_checksum_is_right(
    change: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    folder = written(tmp_path)
    forge(folder, change)
    with pytest.raises(DamagedError, match=r"result\.json is damaged") as caught:
        store.read_result(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


RIGHT = {
    "as it was": lambda _: None,
    "an unknown metric": put(*LAST, "mine", value=-3.5),
    "an unknown flag": put(*LAST, "mine", value=True),
    "an unknown key": put("mine", value={"a": [1]}),
    "unknown speed": put("images_per_second", value=None),
    "whole numbers": put(*LAST, "top1", value=1),
    "answers": put(*LAST, "correct", value=base64.b64encode(np.packbits(np.arange(40) % 2 == 0).tobytes()).decode()),
    "a scale of each selection": put(*LAST, "native_scale", value=3.5),
    "health": put("health", value={"dead_features": 0.5, "best_epoch": None, "marks": ["diverged", "dead features"]}),
    "cells per device": put("provenance", "cells_per_device", value=2),
    "hostile names": put("class_names", value=["<img src=x onerror=alert(1)>", "=1+1", "$_{x$", "[/x]"]),
}


@pytest.mark.parametrize("change", RIGHT.values(), ids=RIGHT)
def test_what_others_add_is_read(change: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
    folder = written(tmp_path)
    forge(folder, change)
    assert store.read_result(folder) is not None


@pytest.mark.parametrize(
    "text", ['{"a":' * 200_000, "[" * 200_000, "{}", "null", "1" * 5000, '{"checksum": 1}', "\xff"]
)
def test_a_text_that_is_no_result_is_damaged(text: str, tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "result.json").write_bytes(text.encode("latin1"))
    for read in (store.read_result, lambda where: store.read_file(where, "history.csv")):
        with pytest.raises(DamagedError):
            read(folder)


def test_a_newer_result_is_no_damage(tmp_path: Path) -> None:
    folder = written(tmp_path)
    forge(folder, put("schema", value=99))
    with pytest.raises(NewerError, match="has schema 99, written by a newer headbench"):
        store.read_result(folder)


@pytest.mark.parametrize("kind", ["folder", "dangling link", "link to a folder"])
def test_what_stands_in_the_place_of_a_result_is_damage(kind: str, tmp_path: Path) -> None:
    folder = written(tmp_path)
    path = folder / "result.json"
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere" if kind == "dangling link" else tmp_path)
    with pytest.raises(DamagedError, match=r"result\.json is damaged \(no file\)"):
        store.read_result(folder)
    assert store.set_aside(path).is_symlink() == (kind != "folder")
    assert store.read_result(folder) is None


def test_a_result_of_the_first_schema_is_read(tmp_path: Path) -> None:
    """It had no class names and no count of bins, which were 15."""
    folder = written(tmp_path)
    forge(folder, put("schema", value=1))
    forge(folder, put("class_names"))
    forge(folder, put(*LAST, "calibration_bins"))
    found = store.read_result(folder)
    assert found is not None
    assert found["class_names"] == ["0", "1", "2", "3"]
    assert found["selections"]["last"]["calibration_bins"] == 15
    forge(folder, put(*LAST, value=3))
    with pytest.raises(DamagedError):
        store.read_result(folder)


PLANS = {
    "no mapping": "- 1\n",
    "no YAML": "a: [\n",
    "deep": "a: " + "[" * 5000 + "\n",
    "no cells": "name: toy\n",
    "no name": "cells: []\n",
    "cells a mapping": "name: toy\ncells: {}\n",
    "a cell that is none": "name: toy\ncells: [1]\n",
    "a date that is none": "name: 2001-99-99\ncells: []\n",
    "a tag": "!!python/object/apply:os.system [exit]\n",
}


def write_plan_text(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grid.yaml").write_text(f"{text}# sha256 {hashlib.sha256(text.encode()).hexdigest()}\n")


@pytest.mark.parametrize("text", PLANS.values(), ids=PLANS)
def test_a_plan_that_is_none_is_one_line(text: str, tmp_path: Path) -> None:
    write_plan_text(tmp_path, text)
    with pytest.raises(DamagedError, match=r"grid\.yaml is damaged") as caught:
        store.read_plan(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cell_id", "../../elsewhere"),
        ("cell_id", "/etc"),
        ("cell_id", 3),
        ("dataset", None),
        ("head_label", ["psc"]),
        ("head_options", "no JSON"),
        ("head_options", "[" * 9000),
        ("feature_dim", "2"),
        ("feature_dim", 2.5),
        ("feature_dim", 10**30),
        ("imbalance_factor", float("nan")),
        ("imbalance_factor", True),
        ("seed", -1),
        ("n_test", float("inf")),
        ("not_applicable", 5),
    ],
)
def test_a_plan_with_a_wrong_cell_is_one_line(key: str, value: Any, tmp_path: Path) -> None:
    cell = {"cell_id": "x", "not_applicable": None} | helpers.facts("psc", 2, 0)
    write_plan_text(tmp_path, yaml.safe_dump({"name": "toy", "cells": [cell]}))
    (read,) = store.read_plan(tmp_path)["cells"]
    assert read.items() >= cell.items()
    write_plan_text(tmp_path, yaml.safe_dump({"name": "toy", "cells": [cell | {key: value}]}))
    with pytest.raises(DamagedError, match=rf"\(cells\.0\.{key}: "):
        store.read_plan(tmp_path)


SCORES = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
LABELS = np.arange(40) % 4


@pytest.mark.parametrize(
    "arrays",
    [
        {"test_labels": LABELS},
        {"last_test_logits": SCORES[:, 0], "test_labels": LABELS},
        {"last_test_logits": SCORES[:39], "test_labels": LABELS},
        {"last_test_logits": SCORES[:, :0], "test_labels": LABELS},
        {"last_test_logits": SCORES * np.inf, "test_labels": LABELS},
        {"last_test_logits": SCORES.astype(complex), "test_labels": LABELS},
        {"last_test_logits": SCORES, "test_labels": LABELS + 1},
        {"last_test_logits": SCORES, "test_labels": LABELS - 1},
        {"last_test_logits": SCORES, "test_labels": LABELS.astype(float)},
        {"last_test_logits": SCORES, "test_labels": LABELS.astype(str)},
    ],
)
def test_predictions_that_are_none_are_damaged(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = written(tmp_path)
    store.write_arrays(folder / "predictions.npz", arrays)
    result = store.read_result(folder)
    assert result is not None
    store.write_result(
        folder, {key: value for key, value in result.items() if key not in {"schema", "sha256"}}, ["predictions.npz"]
    )
    with pytest.raises(DamagedError, match=r"predictions\.npz is damaged"):
        store.read_predictions(folder, "last_test_logits", "test_labels")


def test_a_plan_is_the_yaml_that_is_written_of_it(tmp_path: Path) -> None:
    """Whatever its texts and numbers; their lines are put together."""
    texts = [
        "plain",
        "12",
        "0x1F",
        "1e5",
        "yes",
        "a: b",
        "- c",
        "",
        " d ",
        "two\nlines",
        "\x1b[0m",
        "日本",
        "long " * 60,
        "x" * 300,
    ]
    cells: list[dict[str, object]] = [
        {"cell_id": f"{n:016x}", "text": text, "number": n, "none": None} for n, text in enumerate(texts)
    ]
    cells += [{"cell_id": "1", "number": number} for number in (1, 1.0, True, 1e-7, 1e300)]
    for content in ({"name": "toy", "cells": cells}, {"name": "toy", "cells": []}):
        store.write_plan(tmp_path, content)
        written = (tmp_path / "grid.yaml").read_text()
        text = written.rpartition("# sha256")[0]
        assert text == yaml.safe_dump(content, sort_keys=False, width=160)
        assert store._plan(tmp_path, text.encode()) == yaml.safe_load(text) == content


@pytest.mark.parametrize(
    "cells",
    [
        "- {cell_id: a, d: 1}\n- {cell_id: b, d: 2}\n",
        "- &one\n  cell_id: a\n- *one\n",
        "- cell_id: &text a\n- cell_id: *text\n",
        "- cell_id: 'a\n- b'\n  d: |\n    one: 1\n    two\n",
        "- cell_id: a\n  d:\n  - 1\n",
        "- cell_id: a\nmore: 1\n",
        "# none\n- cell_id: a\n\n- cell_id: b # one\n",
        "- 1\n",
    ],
)
def test_a_plan_that_was_written_otherwise_is_read_as_yaml(cells: str) -> None:
    text = f"name: toy\ncells:\n{cells}"
    assert store._plan(Path(), text.encode()) == yaml.safe_load(text)


def test_answers_of_an_earlier_harness_are_those_of_each_selections_own_scores(tmp_path: Path) -> None:
    """It kept scores alone: after the last epoch the last ten images are wrong, after the best one the first eight."""
    cell_id = helpers.write_cell(tmp_path, helpers.facts("psc", 5, 0), 30)["cell_id"]
    folder = store.cell_folder(tmp_path, cell_id)
    arrays, result = store.read_predictions(folder), store.read_result(folder)
    assert result is not None
    best = np.eye(4, dtype=np.float32)[(arrays["test_labels"] + (np.arange(40) < 8)) % 4]
    store.write_arrays(folder / "predictions.npz", arrays | {"best_test_test_logits": best})
    told = {"correct", "predictions_digest"}
    bare = {name: {key: own[key] for key in own.keys() - told} for name, own in result["selections"].items()}
    helpers.rewrite(folder, {"selections": bare})
    for selection, wrong in (("last", range(30, 40)), ("best_test", range(8))):
        found = Answers(tmp_path).of(cell_id, selection)
        assert found is not None
        assert np.flatnonzero(~found.right).tolist() == [*wrong]
