"""ImageNet-LT: list files over ImageNet's images, streamed.

20 validation images a class, and ILSVRC's validation set as test.
"""

from pathlib import Path

from headbench.core.errors import UserError
from headbench.data.formats.image_files import file_set, listed_files
from headbench.data.formats.walking import printable
from headbench.data.imagenet import MEAN, SIZE, STD
from headbench.data.registry import Dataset, FileSet, register

CLASSES = 1000


@register(
    "imagenet-lt",
    version=1,
    source="Liu et al., CVPR 2019 (OLTR); the user's own list files and ImageNet tree; its own validation set",
    places="imagenet-lt/ImageNet_LT_train.txt",
)
def imagenet_lt(root: Path) -> Dataset:
    """Find ``root/imagenet-lt/ImageNet_LT_{train,val,test}.txt``, whose paths are relative to ``root/imagenet``.

    ILSVRC's validation images may lie in ``val/`` or in class folders below it. Classes are named by WordNet id. Index
    ranges count classes by descending size.
    """

    def listed(part: str, classes: int) -> tuple[list[str], list[int]]:
        return listed_files(root / "imagenet-lt" / f"ImageNet_LT_{part}.txt", classes)

    train = listed("train", CLASSES)
    ids = _ids(*train)
    names = tuple(ids.get(label, f"class {label}") for label in range(max(ids) + 1))
    lists = {"train": train, "val": listed("val", len(names)), "test": listed("test", len(names))}
    _check(lists, names)
    folder = root / "imagenet"

    def placed(path: str, label: int) -> str:
        sorted_path = Path("val") / names[label] / Path(path).name
        return str(sorted_path) if path.startswith("val/") and (folder / sorted_path).is_file() else path

    def part(name: str) -> FileSet:
        paths, labels = lists[name]
        return file_set(folder, [placed(path, label) for path, label in zip(paths, labels, strict=True)], labels, SIZE)

    return Dataset(part("train"), part("test"), names, MEAN, STD, val=part("val"), ranges=(390, 835))


def _ids(paths: list[str], labels: list[int]) -> dict[int, str]:
    """Return the WordNet id of each label, which is the folder of its images.

    Raises:
        UserError: if a label has images of two folders, or a folder two labels.
    """
    ids: dict[int, str] = {}
    label_of: dict[str, int] = {}
    for path, label in zip(paths, labels, strict=True):
        folder = Path(path).parent.name
        if ids.setdefault(label, folder) != folder or label_of.setdefault(folder, label) != label:
            other = (
                f"label {label} is {ids[label]}" if ids[label] != folder else f"{folder} is label {label_of[folder]}"
            )
            raise UserError(f"ImageNet_LT_train.txt: {printable(path)} has label {label}, but before it {other}")
    return ids


def _check(lists: dict[str, tuple[list[str], list[int]]], names: tuple[str, ...]) -> None:
    """Check lists by part against each other, and against the folders of ImageNet's training images.

    Raises:
        UserError: naming the first line of an image that is listed before, or has not the label of its folder.
    """
    seen: dict[str, str] = {}
    known = {Path(path).parent.name for path in lists["train"][0]}
    for part, (paths, labels) in lists.items():
        for number, (path, label) in enumerate(zip(paths, labels, strict=True), start=1):
            place = f"ImageNet_LT_{part}.txt, line {number}"
            if path in seen:
                raise UserError(f"{place}: {printable(path)} is listed before, in {seen[path]}")
            seen[path] = place
            folder = Path(path).parent.name
            if folder in known and folder != names[label]:
                raise UserError(f"{place}: {printable(path)} has label {label}, which is {names[label]}")
