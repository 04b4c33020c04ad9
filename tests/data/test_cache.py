"""The cache: what was read, memory-mapped; never half a cache, never one of other files."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headbench.core.errors import UserError
from headbench.core.registry import Registry
from headbench.data import Dataset, ImageSet, cache
from headbench.runners.execution import workers
from tests.forked import Forked

READS: list[str] = []


def images_of(file: Path) -> ImageSet:
    pixels = torch.from_numpy(np.frombuffer(file.read_bytes(), dtype=np.uint8).copy())
    return ImageSet(pixels.reshape(-1, 1, 2, 2), torch.arange(len(pixels) // 4) % 3)


registry: Registry[Any] = Registry("data set")


@registry.register("toy", version=1, source="a test")
def toy(root: Path, *, bright: bool = False) -> Dataset:
    """Three parts from one file."""
    READS.append("toy")
    part = images_of(root / "toy.bin")
    return Dataset(
        part,
        part,
        ("a", "b", "c"),
        (0.5,),
        (0.25,),
        val=part,
        read_from=(root / "toy.bin",),
        sources=(2, 4),
        ranges=(1, 2),
    )


@registry.register("tree", version=1, source="a test")
def tree(root: Path) -> Dataset:
    """From a folder."""
    READS.append("tree")
    part = ImageSet(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.arange(3))
    return Dataset(part, part, ("a", "b", "c"), (0.5,), (0.25,), read_from=(root / "tree",))


@registry.register("bundled", version=1, source="a test")
def bundled(root: Path) -> Dataset:
    """Without files of its own."""
    part = ImageSet(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.arange(3))
    return Dataset(part, part, ("a", "b", "c"), (0.5,), (0.25,))


@pytest.fixture(autouse=True)
def _fresh(data_root: Path) -> Iterator[None]:
    (data_root / "toy.bin").write_bytes(bytes(range(24)))
    READS.clear()
    yield
    READS.clear()


def load(root: Path, **options: Any) -> Dataset:
    entry = registry.get("toy")
    return cache.load(entry, entry.resolve(options, "toy"), root)


def pixels(part: Any) -> list[int]:
    assert isinstance(part, ImageSet)
    return part.images.flatten().tolist()


def test_the_second_load_is_the_cache_and_equals_the_first(data_root: Path) -> None:
    first, second = load(data_root), load(data_root)
    assert READS == ["toy"]
    direct = toy(data_root)
    for dataset in (first, second):
        for name, part in direct.parts().items():
            assert pixels(dataset.parts()[name]) == pixels(part)
            assert torch.equal(dataset.parts()[name].labels, part.labels)
        assert dataset.fingerprint == direct.fingerprint
        assert (dataset.class_names, dataset.mean, dataset.std, dataset.sources, dataset.ranges) == (
            direct.class_names,
            direct.mean,
            direct.std,
            direct.sources,
            direct.ranges,
        )
        assert dataset.draw is direct.draw


def test_images_are_mapped_not_read(data_root: Path) -> None:
    load(data_root)
    train = load(data_root).train
    assert isinstance(train, ImageSet)
    train.images[0] = 99  # copy-on-write: neither the file nor another process sees this
    assert pixels(load(data_root).train) == list(range(24))
    with Path("/proc/self/maps").open() as maps:
        assert any(".headbench/toy/train_images.npy" in line for line in maps)


def test_changed_files_are_read_again(data_root: Path) -> None:
    before = load(data_root).fingerprint
    (data_root / "toy.bin").write_bytes(bytes(range(100, 124)))
    after = load(data_root)
    assert READS == ["toy", "toy"]
    assert pixels(after.train) == list(range(100, 124))
    assert after.fingerprint != before


@pytest.mark.parametrize("change", ["edit", "add", "remove", "nested", "hidden"])
def test_a_folder_that_changes_is_read_again(data_root: Path, change: str) -> None:
    tree = data_root / "tree"
    (tree / "deep").mkdir(parents=True)
    for name in ("a", "b", "deep/c"):
        (tree / name).write_bytes(b"1")
    entry = registry.get("tree")
    cache.load(entry, {}, data_root)
    if change == "edit":
        (tree / "a").write_bytes(b"2")
    elif change == "add":
        (tree / "d").write_bytes(b"1")
    elif change == "remove":
        (tree / "b").unlink()
    elif change == "nested":
        (tree / "deep" / "c").write_bytes(b"22")
    else:
        (tree / ".hidden").write_bytes(b"1")
    cache.load(entry, {}, data_root)
    assert len(READS) == (1 if change == "hidden" else 2)


def test_a_data_folder_that_moves_keeps_its_cache(data_root: Path) -> None:
    load(data_root)
    moved = data_root.rename(data_root.with_name("moved"))
    load(moved)
    assert READS == ["toy"]
    (moved / "toy.bin").write_bytes(bytes(24))
    assert pixels(load(moved).train) == [0] * 24


def test_parts_that_do_not_fit_are_refused_and_not_cached(data_root: Path) -> None:
    labels, images = torch.arange(3), torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    good = ImageSet(images, labels)
    for test, message in (
        (ImageSet(images[:2], labels), "the test part has 2 images, but 3 labels"),
        (ImageSet(images, labels + 1), "the test part has labels from 1 to 3, but there are 3 classes"),
        (
            ImageSet(torch.zeros(3, 1, 2, 3, dtype=torch.uint8), labels),
            "the images of the test part are 1x2x3, those of the training part 1x2x2",
        ),
    ):
        with pytest.raises(UserError, match=message):
            Dataset(good, test, ("a", "b", "c"), (0.5,), (0.25,))


def own_draw(labels: torch.Tensor, nominal: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return labels, labels


def test_a_data_set_with_a_draw_of_its_own_is_not_cached(data_root: Path) -> None:
    drawn = Registry[Any]("data set")
    drawn.register("drawn", version=1)(lambda root: replace(toy(root), draw=own_draw))
    for _ in range(2):
        assert cache.load(drawn.get("drawn"), {}, data_root).draw is own_draw
    assert READS == ["toy", "toy"]


def test_without_its_files_a_cache_is_still_good(data_root: Path) -> None:
    load(data_root)
    (data_root / "toy.bin").unlink()
    assert pixels(load(data_root).train) == list(range(24))


def test_a_data_set_that_was_replaced_by_one_at_another_place_is_read_again(data_root: Path) -> None:
    """As where a part of a data set was tried first, and the whole one then unpacked elsewhere."""
    entry = registry.get("toy")
    about = entry.about | {"places": "toy.bin other/toy.bin"}
    options = entry.resolve({}, "toy")
    placed = replace(entry, about=about)
    cache.load(placed, options, data_root)
    (data_root / "toy.bin").unlink()
    assert len(READS) == 1
    cache.load(placed, options, data_root)
    assert len(READS) == 1
    (data_root / "other").mkdir()
    (data_root / "other" / "toy.bin").write_bytes(bytes(24))
    with pytest.raises(FileNotFoundError):  # its loader knows the first place only
        cache.load(placed, options, data_root)


def test_another_version_is_read_again(data_root: Path) -> None:
    load(data_root)
    meta = data_root / ".headbench" / "toy" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"version": 0}))
    load(data_root)
    assert READS == ["toy", "toy"]


@pytest.mark.parametrize("key", [None, "read_from", "draw"])
def test_the_cache_of_another_format_is_read_again(data_root: Path, key: str | None) -> None:
    load(data_root)
    meta = data_root / ".headbench" / "toy" / "meta.json"
    contents = json.loads(meta.read_text())
    meta.write_text(
        json.dumps(
            contents | {"format": 1}
            if key is None
            else {name: value for name, value in contents.items() if name != key}
        )
    )
    assert pixels(load(data_root).train) == list(range(24))
    assert READS == ["toy", "toy"]


@pytest.mark.parametrize("name", ["train_images.npy", "test_labels.npy", "val_images.npy", "meta.json"])
@pytest.mark.parametrize("keep", [None, 0, 100])
def test_a_truncated_or_missing_file_makes_no_cache(data_root: Path, name: str, keep: int | None) -> None:
    load(data_root)
    file = data_root / ".headbench" / "toy" / name
    if keep is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:keep])
    assert pixels(load(data_root).train) == list(range(24))
    assert READS == ["toy", "toy"]
    assert cache.verify(file.parent)["counts"] == {"train": 6, "val": 6, "test": 6}


def test_verify_names_the_file_with_a_flipped_bit(data_root: Path) -> None:
    load(data_root)
    folder = data_root / ".headbench" / "toy"
    assert cache.verify(folder)["fingerprint"] == load(data_root).fingerprint
    damaged = folder / "test_images.npy"
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 4
    damaged.write_bytes(content)
    with pytest.raises(UserError, match=r"test_images.npy: not what was written; remove .*/toy"):
        cache.verify(folder)


@pytest.mark.parametrize("name", ["train_labels.npy", "val_labels.npy", "test_labels.npy"])
@pytest.mark.parametrize("place", [-1, -9, 60])
def test_a_flipped_label_is_never_used(data_root: Path, name: str, place: int) -> None:
    whole = load(data_root)
    damaged = data_root / ".headbench" / "toy" / name
    content = bytearray(damaged.read_bytes())
    content[place] ^= 1
    damaged.write_bytes(content)
    again = load(data_root)
    assert READS == ["toy", "toy"]
    assert all(torch.equal(part.labels, whole.parts()[kind].labels) for kind, part in again.parts().items())
    (data_root / "toy.bin").unlink()
    load(data_root)
    damaged.write_bytes(content)
    with pytest.raises(FileNotFoundError):  # as this reader says it; never the flipped label
        load(data_root)


WRONG: list[Any] = [None, -1, 1.5, "nope", [1], {"a": 1}]


@pytest.mark.parametrize(
    "key",
    [
        "format",
        "version",
        "fingerprint",
        "class_names",
        "mean",
        "std",
        "sources",
        "draw",
        "ranges",
        "counts",
        "arrays",
        "read_from",
        "checksum",
    ],
)
def test_wrong_types_make_no_cache(data_root: Path, key: str) -> None:
    load(data_root)
    meta = data_root / ".headbench" / "toy" / "meta.json"
    sound = json.loads(meta.read_text())
    for value in WRONG:
        if value == sound[key]:
            continue
        changed = sound | {key: value}
        meta.write_text(json.dumps(changed))
        READS.clear()
        found = load(data_root)
        assert (READS, found.class_names, found.mean, pixels(found.train)) == (
            ["toy"],
            ("a", "b", "c"),
            (0.5,),
            list(range(24)),
        ), value
        # With a checksum that fits: the schema alone keeps out what cannot be, and nothing is a traceback.
        contents = {name: old for name, old in changed.items() if name != "checksum"}
        meta.write_text(json.dumps(contents | {"checksum": cache._checksum(contents)}))
        assert pixels(load(data_root).train) == list(range(24)), value


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"[]",
        b"3",
        b"null",
        b'"meta"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 3}',
        b'{"checksum": {}}',
        b'{"format": 2, "version": 1}',
    ],
)
def test_a_meta_file_that_is_none_makes_no_cache(data_root: Path, contents: bytes) -> None:
    load(data_root)
    (data_root / ".headbench" / "toy" / "meta.json").write_bytes(contents)
    assert pixels(load(data_root).train) == list(range(24))
    assert READS == ["toy", "toy"]


@pytest.mark.parametrize("key", ["mean", "class_names", "fingerprint"])
def test_a_changed_digit_of_the_meta_file_makes_no_cache(data_root: Path, key: str) -> None:
    load(data_root)
    meta = data_root / ".headbench" / "toy" / "meta.json"
    other = {"mean": [0.25], "class_names": ["a", "b", "d"], "fingerprint": "0" * 16}
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {key: other[key]}))
    assert load(data_root).class_names == ("a", "b", "c")
    assert READS == ["toy", "toy"]


@pytest.mark.parametrize("name", ["train_images.npy", "val_images.npy"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"|u1", b"|i1"),
        (b"|u1", b"|O1"),
        (b"(6, 1, 2, 2)", b"(9, 1, 2, 2)"),
        (b"(6, 1, 2, 2)", b"(6, 4, 1, 1)"),
        (b"NUMPY", b"NUMPX"),
    ],
)
def test_an_array_of_another_kind_makes_no_cache(data_root: Path, name: str, old: bytes, new: bytes) -> None:
    load(data_root)
    file = data_root / ".headbench" / "toy" / name
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
    assert pixels(load(data_root).train) == list(range(24))
    assert READS == ["toy", "toy"]


@pytest.mark.parametrize("name", ["train_images.npy", "train_labels.npy"])
def test_an_array_with_something_behind_it_makes_no_cache(data_root: Path, name: str) -> None:
    load(data_root)
    with (data_root / ".headbench" / "toy" / name).open("ab") as file:
        file.write(bytes(8))
    load(data_root)
    assert READS == ["toy", "toy"]


def linked_tree(data_root: Path) -> Path:
    """A data set whose folder is a link, as is a folder in it."""
    pool = data_root.parent / "pool"
    for name in ("real/a", "other/b"):
        (pool / name).parent.mkdir(parents=True)
        (pool / name).write_bytes(b"1")
    (data_root / "tree").symlink_to(pool / "real")
    (pool / "real" / "linked").symlink_to(pool / "other")
    return pool


@pytest.mark.parametrize("changed", ["real/a", "other/b"])
def test_a_change_behind_a_linked_folder_is_noticed(data_root: Path, changed: str) -> None:
    pool = linked_tree(data_root)
    for _ in range(2):
        cache.load(registry.get("tree"), {}, data_root)
    assert READS == ["tree"]
    (pool / changed).write_bytes(b"22")
    cache.load(registry.get("tree"), {}, data_root)
    assert READS == ["tree", "tree"]


def test_loops_pipes_and_links_to_nowhere_do_not_stop_a_stamp(data_root: Path) -> None:
    pool = linked_tree(data_root)
    (pool / "other" / "back").symlink_to(pool / "real")
    (pool / "other" / "self").symlink_to("self")
    os.mkfifo(pool / "other" / "pipe")
    (pool / "other" / "nowhere").symlink_to("gone")
    for _ in range(2):
        cache.load(registry.get("tree"), {}, data_root)
    assert READS == ["tree"]
    (pool / "other" / "gone").write_bytes(b"fetched")
    cache.load(registry.get("tree"), {}, data_root)
    assert READS == ["tree", "tree"]


def test_a_file_name_that_is_not_utf8_is_stamped(data_root: Path) -> None:
    (data_root / "tree").mkdir()
    named = data_root / "tree" / os.fsdecode(b"caf\xe9.png")
    named.write_bytes(b"1")
    for _ in range(2):
        cache.load(registry.get("tree"), {}, data_root)
    named.write_bytes(b"22")
    cache.load(registry.get("tree"), {}, data_root)
    assert READS == ["tree", "tree"]


def test_options_have_caches_of_their_own(data_root: Path) -> None:
    load(data_root)
    load(data_root, bright=True)
    load(data_root, bright=False)
    assert READS == ["toy", "toy"]


def test_data_without_files_are_not_cached(data_root: Path) -> None:
    cache.load(registry.get("bundled"), {}, data_root)
    assert not (data_root / ".headbench").exists()


def test_where_the_cache_cannot_be_written_a_note_says_so_and_the_images_are_used(
    data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data_root / ".headbench").write_text("a file where the folder should be")
    assert pixels(load(data_root).train) == list(range(24))
    noted = capsys.readouterr().err
    assert noted.startswith("note: cannot write the image cache")
    assert noted.count("\n") == 1


def write_slowly(root: Path, begun: Event) -> None:
    """Write the cache of the toy set, each file in two halves and then anew; in a process of its own."""

    def save(file: Any, array: np.ndarray, whole: Any = np.save) -> None:
        time.sleep(0.03)
        whole(file, array[: len(array) // 2])
        file.flush()
        time.sleep(0.03)
        file.seek(0)
        whole(file, array)

    cache.np.save = save  # type: ignore[attr-defined]
    begun.set()
    load(root)


@pytest.mark.parametrize(("delay", "stale"), [(0.05, True), (0.1, False), (0.2, True)])
def test_a_writer_that_is_killed_leaves_no_cache(data_root: Path, delay: float, stale: bool) -> None:
    if stale:  # it is killed while it replaces a cache of other files
        (data_root / "toy.bin").write_bytes(bytes(range(50, 74)))
        load(data_root)
        (data_root / "toy.bin").write_bytes(bytes(range(24)))
        READS.clear()
    begun = workers.CONTEXT.Event()
    writer = Forked(write_slowly, data_root, begun)
    assert begun.wait(60)
    time.sleep(delay)
    with suppress(ProcessLookupError):  # a busy machine has slept for longer
        os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    folder = data_root / ".headbench"
    assert pixels(load(data_root).train) == list(range(24))
    assert len(READS) <= 1
    cache.verify(folder / "toy")
    assert not list(folder.glob(".toy.*"))
