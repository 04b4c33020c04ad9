"""Data sets in the form in which they are published and packaged: archives beside the data, checked by their MD5, and
unpacked for the reading only.
"""

import gzip
import hashlib
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from headbench.core.errors import UserError
from headbench.data import DATASETS, Dataset, cache, fashion_mnist
from headbench.data.formats.torchvision_sets import fetch
from tests.data.helpers import images_of, random_images, save
from tests.data.test_formats import channels_first, load, md5, write_idx


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    for module in ("cifar", "stl10", "mnist", "utils"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", refuse)
    monkeypatch.setattr("torchvision.datasets.svhn.download_url", refuse)
    monkeypatch.setattr(fashion_mnist, "PACKAGED", Path("/nowhere"))


def cached(name: str, root: Path) -> Dataset:
    return cache.load(DATASETS.get(name), DATASETS.get(name).resolve({}, name), root)


@pytest.fixture
def idx_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with Fashion-MNIST's four gzip files, whose MD5s count as published."""
    folder = tmp_path / "published"
    for seed, part in enumerate(("train", "t10k")):
        write_idx(folder / f"{part}-images-idx3-ubyte", random_images(10, seed, 28)[..., 0])
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(10, dtype=np.uint8))
    for path in folder.glob("*-ubyte"):
        path.unlink()
    resources = [(Path(name).name, md5(folder / name)) for name, _ in torchvision.datasets.FashionMNIST.resources]
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", resources)
    return folder


@pytest.mark.parametrize(
    "place", ["", "FashionMNIST", "FashionMNIST/raw", "fashion-mnist", "fashion-mnist/FashionMNIST/raw", "elsewhere"]
)
def test_fashion_mnist_from_gzip_files(
    data_root: Path, idx_files: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "elsewhere":
        monkeypatch.setattr(fashion_mnist, "PACKAGED", idx_files)
    else:
        shutil.copytree(idx_files, data_root / place, dirs_exist_ok=True)
    before = sorted(data_root.rglob("*"))
    found = load("fashion-mnist", data_root)
    assert torch.equal(images_of(found.train)[:, 0], torch.from_numpy(random_images(10, 0, 28)[..., 0].copy()))
    assert torch.equal(images_of(found.test)[:, 0], torch.from_numpy(random_images(10, 1, 28)[..., 0].copy()))
    assert found.test.labels.tolist() == list(range(10))
    assert sorted(data_root.rglob("*")) == before
    assert {path.suffix for path in found.read_from} == {".gz"}


def test_packed_again_the_contents_decide(data_root: Path, idx_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {}
    for path in idx_files.iterdir():
        unpacked = gzip.decompress(path.read_bytes())
        contents[path.stem] = hashlib.md5(unpacked).hexdigest()
        (data_root / path.name).write_bytes(gzip.compress(unpacked, 1, mtime=1))
    with pytest.raises(
        UserError,
        match=r"FashionMNIST is not \(whole\) in .*gz is not the published file: its MD5 is not \w{32}; name the "
        r"folder",
    ):
        load("fashion-mnist", data_root)
    monkeypatch.setattr(fashion_mnist, "UNPACKED_MD5", contents)
    assert len(load("fashion-mnist", data_root).train) == 10
    damaged = data_root / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(UserError, match="t10k-labels-idx1-ubyte.gz is not the published file") as caught:
        load("fashion-mnist", data_root)
    assert "\n" not in str(caught.value)


def test_a_cache_of_archives_notices_another_archive(data_root: Path, idx_files: Path) -> None:
    shutil.copytree(idx_files, data_root, dirs_exist_ok=True)
    first = cached("fashion-mnist", data_root)
    meta = cache.read_meta(data_root / ".headbench" / "fashion-mnist")
    assert meta is not None
    assert sorted(meta["read_from"]) == sorted(path.name for path in idx_files.iterdir())
    (data_root / "unrelated.txt").write_text("other")
    assert cached("fashion-mnist", data_root).fingerprint == first.fingerprint
    (data_root / "train-images-idx3-ubyte.gz").write_bytes(b"other")
    with pytest.raises(UserError, match="train-images-idx3-ubyte.gz is not the published file"):
        cached("fashion-mnist", data_root)


def cifar_archive(folder: Path, base: str, files: dict[str, Any], archive: Path) -> dict[str, str]:
    """Write pickles into ``archive`` below ``base``; return their MD5s."""
    found = {}
    (folder / base).mkdir(parents=True)
    for name, contents in files.items():
        (folder / base / name).write_bytes(pickle.dumps(contents))
        found[name] = md5(folder / base / name)
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / base, base)
    return found


@pytest.mark.parametrize("place", ["", "cifar10"])
def test_cifar10_from_its_archive(data_root: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = [random_images(4, seed) for seed in range(6)]
    batches = [f"data_batch_{n}" for n in range(1, 6)]
    files: dict[str, Any] = {
        name: {"data": channels_first(x).flatten(1).numpy(), "labels": [0, 1, 2, 9]}
        for name, x in zip([*batches, "test_batch"], pixels, strict=True)
    }
    files["batches.meta"] = {"label_names": [f"class{n}" for n in range(10)]}
    archive = data_root / place / "cifar-10-python.tar.gz"
    sums = cifar_archive(tmp_path / "unpacked", "cifar-10-batches-py", files, archive)
    cifar = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cifar, "train_list", [[name, sums[name]] for name in batches])
    monkeypatch.setattr(cifar, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(cifar, "meta", {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]})
    with pytest.raises(
        UserError, match=rf"{archive} is not the published file: its MD5 is not {cifar.tgz_md5}; name the folder"
    ):
        load("cifar10", data_root)
    monkeypatch.setattr(cifar, "tgz_md5", md5(archive))
    found = load("cifar10", data_root)
    assert torch.equal(images_of(found.train), channels_first(np.concatenate(pixels[:5])))
    assert torch.equal(images_of(found.test), channels_first(pixels[5]))
    assert (found.read_from, found.ranges) == ((archive,), (3, 7))
    assert list(archive.parent.iterdir()) == [archive]
    shutil.copytree(tmp_path / "unpacked", archive.parent, dirs_exist_ok=True)
    archive.unlink()
    assert load("cifar10", data_root).fingerprint == found.fingerprint


@pytest.mark.parametrize("place", ["", "cifar100"])
@pytest.mark.parametrize("labels", ["fine", "coarse"])
def test_cifar100_from_its_archive(
    data_root: Path, tmp_path: Path, place: str, labels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = {
        "data": channels_first(random_images(4, 0)).flatten(1).numpy(),
        "fine_labels": [0, 7, 50, 99],
        "coarse_labels": [0, 1, 10, 19],
    }
    meta = {
        "fine_label_names": [f"class{c}" for c in range(100)],
        "coarse_label_names": [f"group{c}" for c in range(20)],
    }
    archive = data_root / place / "cifar-100-python.tar.gz"
    sums = cifar_archive(
        tmp_path / "unpacked", "cifar-100-python", {"train": part, "test": part, "meta": meta}, archive
    )
    cifar = torchvision.datasets.CIFAR100
    monkeypatch.setattr(cifar, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(cifar, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(cifar, "meta", {"filename": "meta", "key": "fine_label_names", "md5": sums["meta"]})
    monkeypatch.setattr(cifar, "tgz_md5", md5(archive))
    found = load("cifar100", data_root, labels=labels)
    assert found.train.labels.tolist() == part[f"{labels}_labels"]
    assert found.class_names == tuple(meta[f"{labels}_label_names"])


def test_stl10_from_its_archive_without_the_unlabelled_images(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    pixels = {part: random_images(10, seed, 96) for seed, part in enumerate(("train", "test"))}
    for part, images in pixels.items():
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        (folder / f"{part}_y.bin").write_bytes(np.arange(1, 11, dtype=np.uint8).tobytes())
    (folder / "unlabeled_X.bin").write_bytes(b"not what the MD5 says, and not looked at")
    with tarfile.open(data_root / "stl10_binary.tar.gz", "w:gz") as tar:
        tar.add(folder, folder.name)
    stl10 = torchvision.datasets.STL10
    monkeypatch.setattr(stl10, "tgz_md5", md5(data_root / "stl10_binary.tar.gz"))
    monkeypatch.setattr(
        stl10,
        "train_list",
        [[name, md5(folder / name)] for name in ("train_X.bin", "train_y.bin")] + [["unlabeled_X.bin", "0" * 32]],
    )
    monkeypatch.setattr(stl10, "test_list", [[name, md5(folder / name)] for name in ("test_X.bin", "test_y.bin")])
    found = load("stl10", data_root)
    assert torch.equal(images_of(found.train), channels_first(pixels["train"]))
    assert torch.equal(images_of(found.test), channels_first(pixels["test"]))
    assert found.class_names[:2] == ("airplane", "bird")


@pytest.mark.parametrize("place", ["", "tiny-imagenet"])
def test_tiny_imagenet_from_its_archive(
    data_root: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = random_images(3, 0, 64)
    for number, name in enumerate(("n02", "n01")):
        save(tmp_path / "tiny-imagenet-200" / "train" / name / "images" / f"{name}_0.JPEG", pixels[number])
    save(tmp_path / "tiny-imagenet-200" / "val" / "images" / "val_0.JPEG", pixels[2])
    (tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\t0\t0\t1\t1\n")
    (tmp_path / "tiny-imagenet-200" / "wnids.txt").write_text("n02\nn01\n")
    archive = data_root / place / "tiny-imagenet-200.zip"
    archive.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for path in (tmp_path / "tiny-imagenet-200").rglob("*"):
            packed.write(path, path.relative_to(tmp_path))
    with pytest.raises(
        UserError,
        match=rf"tiny-imagenet: {archive} is not the published file: its MD5 is not 90528d7ca1a48142e341f4ef8d21d0de",
    ):
        load("tiny-imagenet", data_root)
    monkeypatch.setattr("headbench.data.tiny_imagenet.MD5", md5(archive))
    found = load("tiny-imagenet", data_root)
    assert (found.train.labels.tolist(), found.test.labels.tolist(), found.class_names) == ([0, 1], [1], ("n02", "n01"))
    assert found.read_from == (archive,)
    assert list(archive.parent.iterdir()) == [archive]


def test_tiny_imagenet_unpacked_beside_other_things(data_root: Path) -> None:
    """In either place; a folder comes before an archive, and files of the other layout before both."""
    pixels, own = random_images(3, 0, 64), data_root / "tiny-imagenet" / "tiny-imagenet-200"
    for number, name in enumerate(("n02", "n01")):
        save(own / "train" / name / "images" / f"{name}_0.JPEG", pixels[number])
    save(own / "val" / "images" / "val_0.JPEG", pixels[2])
    (own / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\t0\t0\t1\t1\n")
    (own / "wnids.txt").write_text("n02\nn01\n")
    (data_root / "tiny-imagenet" / "tiny-imagenet-200.zip").write_bytes(b"of a download that was cut off")
    found = load("tiny-imagenet", data_root)
    assert (found.class_names, found.read_from) == (("n02", "n01"), (own,))


def test_test_images_of_tiny_imagenet_without_a_line_are_refused(data_root: Path) -> None:
    """As of a list that was cut off: a smaller test part is another one."""
    pixels, own = random_images(5, 0, 64), data_root / "tiny-imagenet-200"
    for number, name in enumerate(("n02", "n01")):
        save(own / "train" / name / "images" / f"{name}_0.JPEG", pixels[number])
        save(own / "val" / "images" / f"val_{number}.JPEG", pixels[2 + number])
    (own / "wnids.txt").write_text("n02\nn01\n")
    (own / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\t0\t0\t1\t1\n")
    (own / "val" / "images" / "Thumbs.db").write_bytes(b"")
    with pytest.raises(UserError, match=r"val_annotations.txt: no line for 1 of 2 images, first val_1.JPEG"):
        load("tiny-imagenet", data_root)


def test_an_empty_folder_hides_no_archive_beside_it(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_root / "cifar100").mkdir()
    (data_root / "cifar-100-python").mkdir()
    with pytest.raises(UserError, match=r"^CIFAR100 is not \(whole\) in .*/cifar-100-python"):
        load("cifar100", data_root)


def test_an_archive_that_lies_about_its_contents_is_one_line(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(data_root / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(tmp_path, "something-else", recursive=False)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", md5(data_root / "cifar-10-python.tar.gz"))
    with pytest.raises(UserError, match="CIFAR10 is not"):
        load("cifar10", data_root)


@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_debians_package_has_the_published_images() -> None:
    folder = Path("/usr/share/datasets/fashion-mnist")
    contents = {path.stem: gzip.decompress(path.read_bytes()) for path in folder.iterdir()}
    assert {
        name: hashlib.md5(unpacked).hexdigest() for name, unpacked in contents.items()
    } == fashion_mnist.UNPACKED_MD5
    for part, count in (("train", 6000), ("t10k", 1000)):
        assert (
            np.bincount(np.frombuffer(contents[f"{part}-labels-idx1-ubyte"], dtype=np.uint8, offset=8)).tolist()
            == [count] * 10
        )


def test_nothing_there_names_every_place(data_root: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"FashionMNIST is not \(whole\) in .*/FashionMNIST/raw or /nowhere and could not be downloaded \(no "
        r"network\); name",
    ):
        load("fashion-mnist", data_root)
    with pytest.raises(
        UserError, match=r"SVHN \(split train\) is not \(whole\) in .*/svhn and could not be downloaded"
    ):
        fetch(torchvision.datasets.SVHN, data_root, lambda read: read(split="train"), folders=("svhn",))
