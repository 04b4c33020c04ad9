"""Data sets in the layouts of the Hugging Face hub, from a folder: read as by the harness' own readers."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headbench.core.errors import UserError
from headbench.data import DATASETS, Dataset, cache
from tests.data.helpers import png, random_images, save

NAMES = ["ant", "bee", "cat"]


def load(name: str, root: Path, **options: Any) -> Dataset:
    entry = DATASETS[name]
    made: Dataset = entry.target(root, **entry.resolve(options, name))
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with ``user/name`` as the hub has it, the same with other columns, and a tree of images."""
    datasets = pytest.importorskip("datasets")
    os.environ["HF_HOME"] = str(tmp_path_factory.mktemp("home"))
    datasets.disable_progress_bars()
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    folder = tmp_path_factory.mktemp("data")
    for part, count in (("train", 12), ("test", 6)):
        images = [png(pixels) for pixels in random_images(count, count, side=9)]
        labels = [number % 3 for number in range(count)]
        named = {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)}
        _write(folder / "user/name", part, {"image": images, "label": labels}, named)
        others = {"left": datasets.Image(), "right": datasets.Image(), "kind": datasets.Value("string")}
        words = [NAMES[2 - label] for label in labels]
        _write(folder / "others", part, {"left": images, "right": images[::-1], "kind": words}, others)
        for number, pixels in enumerate(random_images(count, count, side=9)):
            save(folder / "tree" / part / NAMES[number % 3] / f"{number:02}.png", pixels)
    return folder


def _write(folder: Path, part: str, columns: dict[str, list[Any]], features: dict[str, Any]) -> None:
    import datasets

    (folder / "data").mkdir(parents=True, exist_ok=True)
    values = {
        name: [{"bytes": v, "path": None} if isinstance(v, bytes) else v for v in all_]
        for name, all_ in columns.items()
    }
    made = datasets.Dataset.from_dict(values, features=datasets.Features(features))
    made.to_parquet(folder / "data" / f"{part}-00000-of-00001.parquet")


def test_a_repository_and_a_tree_are_what_the_own_readers_read(root: Path) -> None:
    for mine, theirs in (
        (load("parquet", root, path="user/name/data"), load("hub", root, path="user/name")),
        (load("folder", root, path="tree"), load("hub", root, path="tree")),
    ):
        assert theirs.fingerprint == mine.fingerprint
        assert theirs.class_names == mine.class_names == tuple(NAMES)
        assert (theirs.mean, theirs.std) == (mine.mean, mine.std)


def test_it_is_cached_like_any_other(root: Path) -> None:
    entry = DATASETS["hub"]
    options = entry.resolve({"path": "user/name"}, "hub")
    first = cache.load(entry, options, root)
    again = cache._open(cache.folder_of(entry, options, root), entry.version, root)
    assert again is not None
    assert again.fingerprint == first.fingerprint


def test_columns_and_splits_are_named(root: Path) -> None:
    usual = load("hub", root, path="user/name")
    found = load("hub", root, path="others", image="right", label="kind", train="test", test="train", size=6)
    assert found.class_names == tuple(NAMES), "words are classes in their order"
    assert found.train.image_shape == (3, 6, 6)
    assert found.test.labels.tolist() == [2 - label for label in usual.train.labels.tolist()]
    right = load("hub", root, path="others", image="right", label="kind")
    assert np.array_equal(right.train.images.flip(0), usual.train.images)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name it: {name: hub, path: USER/NAME}"),
        ({"path": "nobody/nothing"}, r"cannot load 'nobody/nothing' \(.*\); give USER/NAME as huggingface.co shows it"),
        ({"path": "others"}, r"others has several columns of images \(left, right\); name it, image: COLUMN, of left,"),
        ({"path": "others", "image": "left"}, "others has no column of labels; name it, label: COLUMN, of left"),
        ({"path": "others", "image": "lift", "label": "kind"}, "image: there is no column 'lift'; did you mean 'left'"),
        ({"path": "others", "image": "kind", "label": "kind"}, "the column 'kind' holds no images|not an image"),
        ({"path": "others", "image": "left", "label": "right"}, "the column 'right' holds no labels"),
        ({"path": "user/name", "test": "train"}, "'train' cannot be both train and test; name another split of"),
        ({"path": "user/name", "val": "test"}, "'test' cannot be both test and val; name another split of"),
        ({"path": "user/name", "test": "tset"}, "test: there is no split 'tset'; did you mean 'test'"),
    ],
)
def test_a_mistake_is_one_line(options: dict[str, Any], message: str, root: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load("hub", root, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["train", "train_station", "test"])
def test_a_class_that_is_called_as_a_split_is_puts_no_image_into_both(name: str, root: Path, tmp_path: Path) -> None:
    """The library sorts files by words in their paths."""
    for part, count in (("train", 4), ("test", 6)):
        for number, pixels in enumerate(random_images(count, count, side=9)):
            save(tmp_path / "tree" / part / ("bus", name)[number % 2] / f"{number}.png", pixels)
    with pytest.raises(UserError, match=r"tree: .*png is in both '\w+' and '\w+'.* give {name: folder, path: tree}"):
        load("hub", tmp_path, path="tree")
    assert len(load("folder", tmp_path, path="tree").train.labels) == 4


def test_files_that_name_their_classes_in_another_order_are_refused(root: Path, tmp_path: Path) -> None:
    """The library takes the names of the first file, and the numbers of all."""
    import datasets

    for part, names in (("train", NAMES), ("test", NAMES[1:])):
        images = [png(pixels) for pixels in random_images(4, 4, side=9)]
        named = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
        _write(tmp_path / "two", part, {"image": images, "label": [0, 1, 0, 1]}, named)
    with pytest.raises(UserError, match=r"-of-00001.parquet: its class names are not those of the files before it"):
        load("hub", tmp_path, path="two")


def test_a_folder_of_the_current_one_is_not_meant(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(UserError, match="'user/name' is a folder .* looked for below .*; name the folder .* --data"):
        load("hub", tmp_path, path="user/name")
    assert load("hub", root, path="user/name").class_names == tuple(NAMES)


def test_without_the_library_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the library datasets: python -m pip install 'datasets>=3'"):
        load("hub", tmp_path, path="user/name")
