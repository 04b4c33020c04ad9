"""Tiny-ImageNet-200, the papers' ImageNet-200: 100,000 + 10,000 images of 64x64 in 200 classes."""

import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

from headbench.core.errors import UserError, reason
from headbench.data.formats.image_files import image_set
from headbench.data.formats.parquet_files import read_pair
from headbench.data.formats.shards import part_files
from headbench.data.formats.torchvision_sets import md5
from headbench.data.formats.walking import files_below, read_lines
from headbench.data.imagenet import MEAN, STD
from headbench.data.registry import Dataset, ImageSet, register

URL, MD5 = "http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de"
PUBLISHED, ARCHIVE = "tiny-imagenet-200", "tiny-imagenet-200.zip"
SIDE = 64


@register(
    "tiny-imagenet",
    version=1,
    source="Stanford CS231n's Tiny-ImageNet-200, downloaded with its MD5, or parquet files in the Hugging Face "
    "layout; its validation set is the test part",
    places="tiny-imagenet/train*.parquet tiny-imagenet/data/train*.parquet tiny-imagenet-200 "
    "tiny-imagenet-200.zip tiny-imagenet/tiny-imagenet-200 tiny-imagenet/tiny-imagenet-200.zip",
    download="248 MB",
)
def tiny_imagenet(root: Path) -> Dataset:
    """Load ``root/tiny-imagenet/{train,valid}*.parquet``, or the folder ``tiny-imagenet-200`` or its archive, in
    ``root`` or ``root/tiny-imagenet``, or download that.

    Its classes are named by WordNet id; mean and deviation per channel are those of ImageNet.
    """
    folder = root / "tiny-imagenet"
    if part_files(folder, "train"):
        train, test, names = read_pair(folder, "val", side=SIDE)
        return Dataset(train, test, names, MEAN, STD, read_from=(folder,))
    for place in (root, folder):
        if (place / PUBLISHED).is_dir():
            return _published(place / PUBLISHED)
    for place in (root, folder):
        if (place / ARCHIVE).is_file():
            return _packed(place / ARCHIVE)
    _download(root, root / PUBLISHED)
    return _published(root / PUBLISHED)


def _packed(archive: Path) -> Dataset:
    """Read the published archive, unpacked in a temporary folder."""
    if md5(archive) != MD5:
        raise UserError(
            f"tiny-imagenet: {archive} is not the published file: its MD5 is not {MD5}; without it, it is downloaded"
        )
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(archive) as packed:
        packed.extractall(scratch)
        return replace(_published(Path(scratch) / PUBLISHED), read_from=(archive,))


def _download(root: Path, folder: Path) -> None:
    from torchvision.datasets import utils

    try:
        # Elsewhere and renamed, so that a folder of this name is whole, and no archive that broke off is left.
        with tempfile.TemporaryDirectory(dir=root) as scratch:
            utils.download_and_extract_archive(URL, scratch, extract_root=scratch, md5=MD5)
            (Path(scratch) / folder.name).rename(folder)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"tiny-imagenet: {folder} is not there and could not be downloaded ({reason(error)}); name the folder that "
            f"holds it with --data"
        ) from None


def _published(folder: Path) -> Dataset:
    names = [name for line in read_lines(folder / "wnids.txt") for name in line.split()]
    return Dataset(
        train=_train(folder / "train", names),
        test=_test(folder / "val", names),
        class_names=tuple(names),
        mean=MEAN,
        std=STD,
        read_from=(folder,),
    )


def _train(folder: Path, names: list[str]) -> ImageSet:
    paths, labels = [], []
    for label, name in enumerate(names):
        images = folder / name / "images"
        found = [path for path in files_below(images) if path.suffix == ".JPEG"] if images.is_dir() else []
        if not found:
            raise UserError(f"{images}: a class without images")
        paths += [path.relative_to(folder).as_posix() for path in found]
        labels += [label] * len(found)
    return image_set(folder, paths, labels, side=SIDE)


def _test(folder: Path, names: list[str]) -> ImageSet:
    annotations = folder / "val_annotations.txt"
    paths, labels = [], []
    for number, line in enumerate(read_lines(annotations), start=1):
        fields = line.split("\t")
        if len(fields) < 2 or fields[1] not in names:
            raise UserError(f"{annotations}, line {number}: no known class in {line[:80]!r}")
        paths.append(fields[0])
        labels.append(names.index(fields[1]))
    found = files_below(folder / "images") if (folder / "images").is_dir() else []
    images = {path.name for path in found if path.suffix == ".JPEG"}
    if unlisted := sorted(images - set(paths)):
        raise UserError(f"{annotations}: no line for {len(unlisted)} of {len(images)} images, first {unlisted[0]}")
    return image_set(folder / "images", paths, labels, side=SIDE)
