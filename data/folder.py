"""Any tree of class folders: ``train/``, ``val/``, ``test/``, each with a folder of images per class."""

from pathlib import Path

from pydantic import PositiveInt

from headbench.core.errors import UserError
from headbench.data.formats.image_files import class_folders, file_set, image_set, labelled_files, statistics
from headbench.data.formats.walking import points_nowhere, printable
from headbench.data.imagenet import MEAN, STD
from headbench.data.registry import Dataset, ImageSet, Samples, register


@register("folder", version=1, source="your own images; {name: folder, path: FOLDER} in a grid")
def folder(
    root: Path, *, path: str = "folder", size: PositiveInt | None = None, stream: bool = False, exif: bool = True
) -> Dataset:
    """Load ``root/path/{train,val,test}/<class>/*``.

    Without ``test`` the images in ``val`` are the test part; with both, ``val`` validates.

    Args:
        root: the data folder.
        path: of the tree, below the data folder.
        size: bring all images to size x size pixels; without it they must all have the same size.
        stream: read the images batch by batch, cropped to ``size`` (default 224) by the recipe's augmentation, instead
            of keeping them all in memory.
        exif: bring images upright as their EXIF orientation says, as viewers show them.
    """
    tree = root / path
    names = class_folders(tree / "train")
    for name in ("val", "test"):
        if points_nowhere(tree / name):
            raise UserError(f"{printable(tree / name)} is a link that points nowhere")
    held = [part for part in ("val", "test") if (tree / part).is_dir()]
    if not held:
        raise UserError(f"{tree} has neither a folder test nor val")
    for name in held:
        if (tree / name).resolve() == (tree / "train").resolve():
            raise UserError(f"{printable(tree / name)} is the folder of the training images")
    if len({(tree / name).resolve() for name in held}) < len(held):
        raise UserError(f"{printable(tree / 'val')} and {printable(tree / 'test')} are one folder")

    def part(name: str) -> Samples:
        paths, labels = labelled_files(tree / name, names)
        return (
            file_set(tree / name, paths, labels, size or 224, exif=exif)
            if stream
            else image_set(tree / name, paths, labels, size=size, exif=exif)
        )

    train, test = part("train"), part(held[-1])
    val = part("val") if held == ["val", "test"] else None
    mean, std = statistics(train.images) if isinstance(train, ImageSet) else (MEAN, STD)
    return Dataset(train, test, tuple(map(printable, names)), mean, std, val=val, read_from=(tree,))
