"""ImageNet-LT: list files over ImageNet's images, streamed.

20 validation images a class, and ILSVRC's validation set as test.
"""

from pathlib import Path

from headbench.data.formats.image_files import file_set, listed_files
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
    ids = {label: Path(path).parent.name for path, label in zip(*train, strict=True)}
    names = tuple(ids.get(label, f"class {label}") for label in range(max(ids) + 1))
    lists = {"train": train, "val": listed("val", len(names)), "test": listed("test", len(names))}
    folder = root / "imagenet"

    def placed(path: str, label: int) -> str:
        sorted_path = Path("val") / names[label] / Path(path).name
        return str(sorted_path) if path.startswith("val/") and (folder / sorted_path).is_file() else path

    def part(name: str) -> FileSet:
        paths, labels = lists[name]
        return file_set(folder, [placed(path, label) for path, label in zip(paths, labels, strict=True)], labels, SIZE)

    return Dataset(part("train"), part("test"), names, MEAN, STD, val=part("val"), ranges=(390, 835))
