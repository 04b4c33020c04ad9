"""Files behind links, with names that are not UTF-8, and text files as editors leave them."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from headbench.core.errors import UserError
from headbench.data import DATASETS, Dataset, FileSet
from headbench.data.formats.walking import files_below, printable, read_lines
from headbench.data.loading.streamed import Streamed
from headbench.runners.training import parts
from tests.data.helpers import images_of, paths_of, random_images, save


def write_tree(root: Path) -> None:
    for part in ("train", "test"):
        for number, name in enumerate(("a", "b")):
            save(root / part / name / "0.png", random_images(1, number, 16)[0])


def load(name: str, root: Path, **options: object) -> Dataset:
    return DATASETS.get(name).target(root, **options)


def test_linked_parts_classes_and_files_are_read(data_root: Path, tmp_path: Path) -> None:
    write_tree(tmp_path / "pool")
    expected = load("folder", tmp_path, path="pool").fingerprint
    linked = data_root / "linked"
    (linked / "test" / "b").mkdir(parents=True)
    (linked / "train").symlink_to(tmp_path / "pool" / "train")
    (linked / "test" / "a").symlink_to(tmp_path / "pool" / "test" / "a")
    (linked / "test" / "b" / "0.png").symlink_to(tmp_path / "pool" / "test" / "b" / "0.png")
    assert load("folder", data_root, path="linked").fingerprint == expected


def test_a_data_set_of_one_class_is_refused(data_root: Path) -> None:
    write_tree(data_root / "t")
    for part in ("train", "test"):
        (data_root / "t" / part / "b" / "0.png").unlink()
        (data_root / "t" / part / "b").rmdir()
    options = DATASETS.get("folder").resolve({"path": "t"}, "folder")
    with pytest.raises(UserError, match=r"^data set 'folder': it has one class, 'a'; heads tell two or more apart$"):
        parts.load("folder", options, data_root)


def test_an_image_beside_the_class_folders_is_refused(data_root: Path) -> None:
    write_tree(data_root / "t")
    save(data_root / "t" / "train" / "0.PNG", random_images(1, 3, 16)[0])
    with pytest.raises(UserError, match=r"t/train: 1 images in no class folder, first .*0.PNG; move them into one"):
        load("folder", data_root, path="t")
    (data_root / "t" / "train" / "0.PNG").rename(data_root / "t" / "train" / "readme.txt")
    assert len(load("folder", data_root, path="t").train.labels) == 2


def test_a_replaced_image_behind_a_link_is_another_data_set(data_root: Path, tmp_path: Path) -> None:
    write_tree(tmp_path / "pool")
    (data_root / "t").mkdir()
    for part in ("train", "test"):
        (data_root / "t" / part).symlink_to(tmp_path / "pool" / part)
    options = DATASETS.get("folder").resolve({"path": "t"}, "folder")
    before = parts.load("folder", options, data_root).fingerprint
    save(tmp_path / "pool" / "train" / "a" / "0.png", random_images(1, 9, 16)[0])
    assert parts.load("folder", options, data_root).fingerprint != before


def test_loops_and_pipes_are_left_out(tmp_path: Path) -> None:
    write_tree(tmp_path)
    (tmp_path / "train" / "a" / "loop").symlink_to(tmp_path / "train")
    (tmp_path / "train" / "a" / "self").symlink_to("self")
    os.mkfifo(tmp_path / "train" / "a" / "pipe.png")
    assert [path.relative_to(tmp_path) for path in files_below(tmp_path / "train" / "a")] == [
        Path("train/a/0.png"),
        Path("train/a/loop/b/0.png"),
    ]
    (tmp_path / "train" / "a" / "loop").unlink()
    assert len(load("folder", tmp_path.parent, path=tmp_path.name).train) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_links_that_point_nowhere_are_counted(data_root: Path, stream: bool) -> None:
    write_tree(data_root / "folder")
    for number in range(3):
        (data_root / "folder" / "train" / "a" / f"{number + 1}.png").symlink_to("../blobs/gone")
    with pytest.raises(
        UserError, match=r"train/a: 3 of 4 files are links that point nowhere, first /.*/train/a/1.png$"
    ):
        load("folder", data_root, stream=stream)


@pytest.mark.parametrize("place", ["train/c", "test/c"])
def test_a_class_that_points_nowhere_is_named(data_root: Path, place: str) -> None:
    write_tree(data_root / "folder")
    (data_root / "folder" / place).symlink_to("gone")
    with pytest.raises(UserError, match=r"/folder/\w+: 1 of its 3 entries are links that point nowhere, first c$"):
        load("folder", data_root)


def test_a_part_that_points_nowhere_is_named(data_root: Path) -> None:
    write_tree(data_root / "folder")
    (data_root / "folder" / "val").symlink_to("gone")
    with pytest.raises(UserError, match=r"folder/val is a link that points nowhere$"):
        load("folder", data_root)


LATIN = os.fsdecode(b"caf\xe9")


def test_names_that_are_not_utf8_are_read(data_root: Path) -> None:
    write_tree(data_root / "folder")
    plain = load("folder", data_root)
    for part in ("train", "test"):
        (data_root / "folder" / part / "b" / "0.png").rename(data_root / "folder" / part / "b" / f"{LATIN}.png")
        (data_root / "folder" / part / "b").rename(data_root / "folder" / part / LATIN)
    found = parts.load("folder", DATASETS.get("folder").resolve({}, "folder"), data_root)
    assert found.class_names == ("a", "caf\\xe9")
    assert torch.equal(images_of(found.train), images_of(plain.train))
    streamed = load("folder", data_root, stream=True, size=16)
    assert isinstance(streamed.train, FileSet)
    assert len(streamed.fingerprint) == 16
    shown = list(
        Streamed.of(
            streamed.train, torch.arange(2), streamed.train.labels, ((0.0,) * 3, (1.0,) * 3), torch.device("cpu")
        ).plain_batches()
    )
    assert shown[0].shape == (2, 3, 16, 16)
    (data_root / "folder" / "train" / LATIN / f"{LATIN}.png").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"caf\\xe9/caf\\xe9.png: not an image, or damaged"):
        load("folder", data_root)


def test_fingerprints_of_files_with_other_names_stay(data_root: Path) -> None:
    """By the formula that fingerprints had before names were encoded as the file system has them."""
    write_tree(data_root / "imagenet")
    (data_root / "imagenet" / "test").rename(data_root / "imagenet" / "val")
    (data_root / "imagenet" / "train" / "b" / "0.png").rename(data_root / "imagenet" / "train" / "b" / "größe ✓.png")
    found = load("imagenet", data_root)
    digest = hashlib.sha256()
    for name, part in (("train", found.train), ("val", found.test)):
        folder = data_root / "imagenet" / name
        digest.update("\n".join(f"{path} {(folder / path).stat().st_size}" for path in paths_of(part)).encode())
        digest.update(b"(2,)" + np.array([0, 1]).tobytes())
    assert found.fingerprint == digest.hexdigest()[:16]


def test_printable_names_are_text() -> None:
    assert printable("größe") == "größe"
    assert printable(Path(LATIN)).encode() == b"caf\\xe9"


@pytest.mark.parametrize(
    "contents", [b"a 0\nb 1\n", b"\xef\xbb\xbfa 0\r\nb 1\r\n", b"a 0\rb 1", "a 0\nb 1\n".encode("utf-8-sig")]
)
def test_lines_as_editors_leave_them(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(contents)
    assert read_lines(tmp_path / "list.txt") == ["a 0", "b 1"]


@pytest.mark.parametrize(
    ("contents", "line"), [(b"a 0\r\ncaf\xe9 1\r\n", 2), ("a 0\n".encode("utf-16"), 1), (b"a\nb\nc\n\x80", 4)]
)
def test_other_encodings_are_one_line(tmp_path: Path, contents: bytes, line: int) -> None:
    (tmp_path / "list.txt").write_bytes(contents)
    with pytest.raises(UserError, match=rf"list.txt, line {line}: not UTF-8 text \(byte 0x\w\w\); save it in UTF-8$"):
        read_lines(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("imagenet-lt", "imagenet-lt/ImageNet_LT_train.txt"),
        ("tiny-imagenet", "tiny-imagenet-200/wnids.txt"),
        ("inaturalist2018", "inaturalist2018/train2018.json"),
    ],
)
def test_every_text_file_of_a_data_set_is_utf8_or_one_line(data_root: Path, name: str, file: str) -> None:
    (data_root / file).parent.mkdir(parents=True)
    (data_root / file).write_bytes(b"caf\xe9 0\n")
    with pytest.raises(UserError, match=rf"{Path(file).name}, line 1: not UTF-8 text"):
        load(name, data_root)


def test_a_list_with_a_byte_order_mark_and_names_of_their_own(data_root: Path) -> None:
    (data_root / "imagenet-lt").mkdir()
    for number, part in enumerate(("train", "val", "test")):
        path = f"train/n01/café{number}.png"
        save(data_root / "imagenet" / path, random_images(1, number)[0])
        (data_root / "imagenet-lt" / f"ImageNet_LT_{part}.txt").write_bytes(f"\ufeff{path} 0\r\n".encode())
    assert paths_of(load("imagenet-lt", data_root).train) == ["train/n01/café0.png"]
    (data_root / "imagenet-lt" / "ImageNet_LT_val.txt").write_text(
        f"train/n01/café.png {'9' * 5000}\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"line 1: label 99999999999999999999, but there are 1 classes"):
        load("imagenet-lt", data_root)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([], "not as published"),
        ({"images": []}, r"not as published, at annotations"),
        ({"images": [{"id": 1}], "annotations": [], "categories": []}, r"not as published, at images.0.file_name"),
        ({"images": [], "annotations": [], "categories": [{"id": "wren"}]}, r"not as published, at categories.0.id"),
    ],
)
def test_a_competition_file_of_another_shape_is_one_line(data_root: Path, contents: object, message: str) -> None:
    (data_root / "inaturalist2018").mkdir()
    (data_root / "inaturalist2018" / "train2018.json").write_text(json.dumps(contents))
    with pytest.raises(UserError, match=f"train2018.json: {message}") as caught:
        load("inaturalist2018", data_root)
    assert "\n" not in str(caught.value)
