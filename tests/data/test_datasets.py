"""The data sets: digits as bundled, CIFAR-100 from small parquet files of the same format, and what is said where data
are missing or damaged.
"""

import os
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from headbench.core.errors import UserError
from headbench.data import DATASETS, Dataset, ImageSet
from headbench.data.formats.parquet_files import read_images
from headbench.data.formats.shards import part_files
from tests.data.helpers import images_of, png, random_images, write_parquet


def test_digits_are_scikit_learns(data_root: Path) -> None:
    digits = DATASETS.get("digits").target(data_root)
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    bunch = load_digits()
    pairs = {
        (tuple((image.astype(int)).ravel().tolist()), int(label))
        for image, label in zip(bunch.images, bunch.target, strict=True)
    }
    for part in (digits.train, digits.test):
        levels = (images_of(part).double() * 16 / 255).round().int()
        assert all(
            (tuple(image.ravel().tolist()), int(label)) in pairs
            for image, label in zip(levels, part.labels, strict=True)
        )
    pixels = images_of(digits.train).double() / 255
    assert digits.mean[0] == pytest.approx(pixels.mean().item(), abs=1e-4)
    assert digits.std[0] == pytest.approx(pixels.std(correction=0).item(), abs=1e-4)


def test_the_fingerprint_changes_with_any_image_or_label(data_root: Path) -> None:
    digits = DATASETS.get("digits").target(data_root)
    again = DATASETS.get("digits").target(data_root)
    assert digits.fingerprint == again.fingerprint
    images, labels = images_of(digits.train).clone(), digits.train.labels.clone()
    images[700, 0, 3, 3] += 1
    labels[5] = (labels[5] + 1) % 10
    for train in (ImageSet(images, digits.train.labels), ImageSet(images_of(digits.train), labels)):
        assert (
            Dataset(train, digits.test, digits.class_names, digits.mean, digits.std).fingerprint != digits.fingerprint
        )


NAMES = [f"class{c}" for c in range(100)]


def test_cifar100_from_parquet_keeps_every_pixel_and_label(data_root: Path) -> None:
    train, test = random_images(7, 0), random_images(3, 1)
    write_parquet(
        data_root / "cifar100" / "train-00000-of-00002.parquet", [png(x) for x in train[:4]], [99, 1, 2, 3], NAMES
    )
    write_parquet(
        data_root / "cifar100" / "train-00001-of-00002.parquet", [png(x) for x in train[4:]], [4, 5, 0], NAMES
    )
    write_parquet(data_root / "cifar100" / "test.parquet", [png(x) for x in test], [7, 8, 9], NAMES)
    cifar100 = DATASETS.get("cifar100").target(data_root)
    assert torch.equal(images_of(cifar100.train), torch.from_numpy(train.transpose(0, 3, 1, 2).copy()))
    assert cifar100.train.labels.tolist() == [99, 1, 2, 3, 4, 5, 0]
    assert cifar100.test.labels.tolist() == [7, 8, 9]
    assert (cifar100.class_names, cifar100.ranges) == (tuple(NAMES), (36, 71))


@pytest.mark.parametrize(
    ("images", "labels", "names", "message"),
    [
        (
            [png(random_images(1, 0)[0])],
            [100],
            NAMES,
            r"train.parquet: labels run from 100 to 100, but there are 100 class names",
        ),
        ([png(random_images(1, 0)[0]), b"no image"], [0, 1], NAMES, r"train.parquet, row 1: not an image"),
        ([png(random_images(1, 0)[0][:16])], [0], NAMES, r"train.parquet, row 0: the image is 32x16, not 32x32"),
        ([png(random_images(1, 0)[0])], [0], None, r"train.parquet: the schema's metadata name no classes"),
        ([], [], NAMES, r"train.parquet: no rows"),
    ],
)
def test_damaged_parquet_is_one_line_that_names_the_file(
    data_root: Path, images: list[bytes], labels: list[int], names: list[str] | None, message: str
) -> None:
    write_parquet(data_root / "train.parquet", images, labels, names)
    with pytest.raises(UserError, match=message):
        read_images(part_files(data_root, "train"), side=32)


def test_a_truncated_parquet_file_is_one_line(data_root: Path) -> None:
    write_parquet(data_root / "train.parquet", [png(random_images(1, 0)[0])], [0], NAMES)
    whole = (data_root / "train.parquet").read_bytes()
    (data_root / "train.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="train.parquet: not a readable parquet file") as caught:
        read_images(part_files(data_root, "train"), side=32)
    assert "\n" not in str(caught.value)


def test_an_empty_cifar100_folder_names_the_missing_file(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be downloaded in its place."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", refuse)
    (data_root / "cifar100").mkdir()
    with pytest.raises(UserError, match=r"could not be downloaded \(no network\).*; no train\*.parquet in"):
        DATASETS.get("cifar100").target(data_root)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "stl10", "fashion-mnist", "tiny-imagenet"])
def test_missing_data_without_a_network_is_one_line(
    name: str, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("<urlopen error no network>")

    for module in ("cifar", "stl10", "mnist"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", refuse)
    monkeypatch.setattr("torchvision.datasets.svhn.download_url", refuse)
    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", refuse)
    monkeypatch.setattr("headbench.data.fashion_mnist.PACKAGED", Path("/nowhere"))
    with pytest.raises(UserError, match=r"could not be downloaded \(.*\); name the folder that holds it with --data"):
        DATASETS.get(name).target(data_root)


@pytest.mark.parametrize(
    ("name", "folder", "per_class"), [("cifar10", "cifar-10-batches-py", 5000), ("cifar100", "cifar100", 500)]
)
def test_the_real_images_have_the_published_counts_and_statistics(name: str, folder: str, per_class: int) -> None:
    """Only where the real files are at hand, in ``$HEADBENCH_DATA``."""
    root = Path(os.environ.get("HEADBENCH_DATA", "~/.cache/headbench")).expanduser()
    if not (root / folder).is_dir():
        pytest.skip(f"no {folder} in {root}")
    dataset = DATASETS.get(name).target(root)
    classes = len(dataset.class_names)
    assert torch.bincount(dataset.train.labels).tolist() == [per_class] * classes
    assert torch.bincount(dataset.test.labels).tolist() == [per_class // 5] * classes
    pixels = images_of(dataset.train).transpose(0, 1).flatten(1).double() / 255
    assert torch.allclose(pixels.mean(dim=1), torch.tensor(dataset.mean, dtype=torch.float64), atol=1e-4)
    assert torch.allclose(pixels.std(dim=1), torch.tensor(dataset.std, dtype=torch.float64), atol=1e-4)
