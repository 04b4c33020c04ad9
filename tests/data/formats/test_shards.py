"""Which parquet files make up a part: one complete set, in every naming of the Hugging Face layout, and labels and
cells of odd kinds.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headbench.core.errors import UserError
from headbench.data import DATASETS
from headbench.data.formats.parquet_files import read_images
from headbench.data.formats.shards import part_files
from tests.data.helpers import png, random_images, write_parquet

HASHED = ["train-00000-of-00002-6fb7bd5a1d1b6c0e.parquet", "train-00001-of-00002-0c2a9f1e77d3b5a4.parquet"]


def write(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        write_parquet(
            folder / name, [png(random_images(1, number, 8)[0])], [number % 2], ["cat", "dog"], ("image", "label")
        )


@pytest.mark.parametrize(
    "names",
    [
        ["train.parquet"],
        ["train-0.parquet"],
        ["train-0.parquet", "train-1.parquet"],
        ["train-00000-of-00001.parquet"],
        ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
        ["train-00001-of-00002.parquet", "train-00002-of-00002.parquet"],
        HASHED,
        [f"data/{name}" for name in HASHED],
        ["train/0000.parquet", "train/0001.parquet"],
        ["train/train-00000-of-00002.parquet", "train/train-00001-of-00002.parquet"],
        ["data/train/part.0.parquet", "data/train/part.1.parquet"],
        ["train_0.parquet", "train_1.parquet"],
        [f"train-{number}.parquet" for number in range(11)],
        ["train-1.parquet", "train-2.parquet"],
    ],
)
def test_a_complete_set_is_read_in_order(data_root: Path, names: list[str]) -> None:
    write(data_root, names)
    write(data_root, ["test.parquet"])
    assert part_files(data_root, "train") == [data_root / name for name in names]
    dataset = DATASETS.get("parquet").target(data_root, path=".")
    assert dataset.train.labels.tolist() == [number % 2 for number in range(len(names))]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (HASHED[1:], r"there is no file .*/train-00000-of-00002-\*.parquet, one of 2 that belong together"),
        (HASHED[:1], r"there is no file .*/train-00001-of-00002-\*.parquet, one of 2 that belong together"),
        (
            ["data/train-00001-of-00002.parquet"],
            r"there is no file .*/data/train-00000-of-00002.parquet, one of 2 that belong together",
        ),
        (
            ["train-00000-of-99999999999.parquet"],
            r"there is no file .*/train-00001-of-99999999999.parquet, one of 99999999999",
        ),
        (["train-0.parquet", "train-2.parquet"], r"there is no file .*/train-1.parquet, but train-2.parquet is"),
        (
            ["train/0001.parquet", "train/0003.parquet"],
            r"there is no file .*/train/0002.parquet, but 0003.parquet is|there is no file .*/train/0000.parquet",
        ),
        (
            ["train-00000-of-00001.parquet", "train-00002-of-00001.parquet"],
            r"train-00002-of-00001.parquet: its number is beyond the 1 files that it counts",
        ),
        (
            ["train.parquet", "train-00000-of-00001.parquet"],
            r"train-00000-of-00001.parquet and train.parquet do not belong to one set of files",
        ),
        (
            ["train-00000-of-00001.parquet", *HASHED],
            r"train-0000\d-of-0000\d.*.parquet and train-.* do not belong to one set of files",
        ),
        (
            [*HASHED, "train-00000-of-00002-aaaa.parquet"],
            r"train-00000-of-00002-6fb\w*.parquet and train-00000-of-00002-aaaa.parquet do not belong",
        ),
        (
            ["train-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"],
            r"data/train-00000-of-00001.parquet and train-00000-of-00001.parquet do not",
        ),
        (["train.parquet", "train/0000.parquet"], r"train.parquet and train/0000.parquet do not belong"),
        (["train.parquet", "train_extra.parquet"], r"train.parquet and train_extra.parquet do not belong"),
        (["train-v11.parquet", "train-v12.parquet"], r"train-v1\d.parquet and train-v1\d.parquet do not belong to one"),
        (["train_v1.parquet", "train_v2.parquet"], r"train_v\d.parquet and train_v\d.parquet do not belong to one set"),
        (["train-0.parquet", "train-00.parquet"], r"train-0.parquet and train-00.parquet do not belong"),
    ],
)
def test_gaps_and_mixtures_are_refused_by_name(data_root: Path, names: list[str], message: str) -> None:
    write(data_root, names)
    with pytest.raises(UserError, match=message) as caught:
        part_files(data_root, "train")
    assert "\n" not in str(caught.value)


def test_the_same_file_twice_is_refused(data_root: Path) -> None:
    write(data_root, ["train-0.parquet", "train-1.parquet"])
    (data_root / "train-1.parquet").write_bytes((data_root / "train-0.parquet").read_bytes())
    with pytest.raises(
        UserError,
        match=r"train-0.parquet and train-1.parquet have the same contents; leave only the files of one set there",
    ):
        part_files(data_root, "train")


def test_a_shard_that_is_a_link_to_nowhere_is_named(data_root: Path) -> None:
    write(data_root, ["train-0.parquet"])
    (data_root / "train-1.parquet").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"/train-1.parquet is a link that points nowhere"):
        part_files(data_root, "train")


@pytest.mark.parametrize(
    ("dataset", "folder", "columns"),
    [("cifar100", "cifar100", ("img", "fine_label")), ("tiny-imagenet", "tiny-imagenet", ("image", "label"))],
)
def test_the_registered_sets_notice_a_missing_shard(
    data_root: Path, dataset: str, folder: str, columns: tuple[str, str]
) -> None:
    write_parquet(
        data_root / folder / HASHED[0], [png(random_images(1, 0)[0])], [0], [f"c{c}" for c in range(100)], columns
    )
    with pytest.raises(UserError, match=r"train-00001-of-00002-\*.parquet, one of 2 that belong together"):
        DATASETS.get(dataset).target(data_root)


def test_cifar10_in_the_hugging_face_layout(data_root: Path) -> None:
    names = [f"c{c}" for c in range(10)]
    for seed, part in enumerate(("train", "test")):
        file = data_root / "cifar10" / f"{part}-00000-of-00001.parquet"
        write_parquet(file, [png(x) for x in random_images(2, seed)], [3, 9], names, ("img", "label"))
    assert DATASETS.get("cifar10").target(data_root).train.labels.tolist() == [3, 9]


def write_table(path: Path, image: Any, label: Any, names: Any = ("cat", "dog")) -> None:
    """Two rows with the given columns; class names in the metadata."""
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    table = pa.table({"image": image, "label": label})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), path)


IMAGES = [{"bytes": png(x), "path": None} for x in random_images(2, 0, 8)]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1, 0], [1, 0]),
        (pa.array([1, 0], pa.uint64()), [1, 0]),
        ([True, False], [1, 0]),
        ([1.0, 0.0], [1, 0]),
        (["dog", "cat"], [1, 0]),
        (pa.array(["dog", "cat"]).dictionary_encode(), [1, 0]),
        (pa.array(["dog", "cat"], pa.large_string()), [1, 0]),
    ],
)
def test_labels_of_every_sound_type(tmp_path: Path, labels: Any, expected: list[int]) -> None:
    write_table(tmp_path / "train.parquet", IMAGES, labels)
    assert read_images([tmp_path / "train.parquet"])[0].labels.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.7, 0.0], r"row 0: the label 0.7 is not a whole number"),
        ([0.0, float("nan")], r"row 1: the label nan is not a whole number"),
        ([0.0, float("inf")], r"row 1: the label inf is not a whole number"),
        ([0, None], r"row 1: no label"),
        ([0.0, None], r"row 1: no label"),
        (["dog", None], r"row 1: no label"),
        ([0, -1], r": labels run from -1 to 0, but there are 2 class names"),
        ([0, 2], r": labels run from 0 to 2, but there are 2 class names"),
        (pa.array([0, 2**64 - 1], pa.uint64()), r": labels run from 0 to 18446744073709551615, but"),
        ([1e300, 0.0], r": labels run from 0.0 to 1e\+300, but"),
        (["dog", "cow"], r"row 1: 'cow' is none of the 2 class names"),
        (["1", "0"], r"row 0: '1' is none of the 2 class names"),
        ([[0], [1]], r": labels of type list<.*>, not whole numbers or class names"),
        ([b"dog", b"cat"], r": labels of type binary, not whole numbers or class names"),
    ],
)
def test_labels_that_are_none_are_one_line(tmp_path: Path, labels: Any, message: str) -> None:
    write_table(tmp_path / "train.parquet", IMAGES, labels)
    with pytest.raises(UserError, match=f"train.parquet(, )?{message}") as caught:
        read_images([tmp_path / "train.parquet"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [None, "cat", {"0": "cat"}, [0, 1]])
def test_class_names_that_are_none(tmp_path: Path, names: Any) -> None:
    write_table(tmp_path / "train.parquet", IMAGES, ["cat", "dog"], names)
    with pytest.raises(UserError, match="the schema's metadata name no classes for column 'label'"):
        read_images([tmp_path / "train.parquet"])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            {"bytes": None, "path": "train/0.png"},
            r"the image's bytes are not embedded, only its path 'train/0.png'; write the file again",
        ),
        ({"bytes": None, "path": None}, "no image"),
        ({"bytes": b"", "path": "a.png"}, "not an image, or damaged"),
    ],
)
def test_cells_without_an_image_are_one_line(tmp_path: Path, cell: Any, message: str) -> None:
    write_table(tmp_path / "train.parquet", [IMAGES[0], cell], [0, 1])
    with pytest.raises(UserError, match=f"train.parquet, row 1: {message}"):
        read_images([tmp_path / "train.parquet"])


def test_other_columns_of_images(tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    write_table(file, [image["bytes"] for image in IMAGES], [0, 1])
    assert np.array_equal(read_images([file])[0].images.numpy(), random_images(2, 0, 8).transpose(0, 3, 1, 2))
    for column, message in (
        (["a.png", "b.png"], "not an encoded image, but str"),
        ([None, b"x"], "no image"),
        ([[1], [2]], "not an encoded image, but list"),
    ):
        write_table(file, column, [0, 1])
        with pytest.raises(UserError, match=f"train.parquet, row 0: {message}"):
            read_images([file])
