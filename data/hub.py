"""Any image data set of the Hugging Face hub, or of a folder in its layout, through the library ``datasets``."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import torch
from pydantic import PositiveInt

from headbench.core.errors import UserError, suggest, typed_reason
from headbench.data.formats.image_files import decode, stack, statistics
from headbench.data.formats.parquet_files import check_names, named_classes
from headbench.data.formats.walking import printable
from headbench.data.registry import Dataset, ImageSet, register

if TYPE_CHECKING:
    import datasets

# Names of the splits that are taken where none is given, the first that is there.
TEST, VAL = ("test",), ("validation", "valid", "val", "dev")


@register("hub", version=1, source="a data set of the Hugging Face hub; {name: hub, path: USER/NAME} in a grid")
def hub(
    root: Path,
    *,
    path: str = "",
    config: str | None = None,
    revision: str | None = None,
    train: str = "train",
    test: str | None = None,
    val: str | None = None,
    image: str | None = None,
    label: str | None = None,
    size: PositiveInt | None = None,
    exif: bool = True,
) -> Dataset:
    """Load a data set that fits into memory; its library downloads it once and keeps it.

    Without a test split the validation split is the test part; with both, it validates.

    Args:
        root: the data folder.
        path: ``user/name`` on the hub, or a folder below the data folder in a layout that the library knows.
        config: of several configurations, which one.
        revision: of the data set on the hub, a commit or tag.
        train: name of the training split.
        test: of the test split (default: ``test``).
        val: of the validation split (default: ``validation``, ``valid``, ``val`` or ``dev``).
        image: column of images (default: ``image`` or ``img``, or else the only one).
        label: column of labels (default: ``label`` or ``fine_label``, or else the only one of classes).
        size: bring all images to size x size pixels; without it they must all have the same size.
        exif: bring images upright as their EXIF orientation says.
    """
    if not path:
        raise UserError("name it: {name: hub, path: USER/NAME}")
    splits = _load(root, path, config, revision)
    import datasets  # which is there, since it has loaded them

    names = _splits(path, list(splits), {"train": train, "test": test, "val": val})
    first = splits[names["train"]]
    columns = _one_of(path, "image", image, ("image", "img"), first, datasets.Image), _label_column(path, first, label)
    classes = _classes(first, columns[1])
    if (root / path).is_dir():
        _check_names(_parquet(root / path, config, set(names.values())), columns[1], tuple(map(str, classes)))
    read = {part: _read(f"{path}, {name}", splits[name], columns, classes, size, exif) for part, name in names.items()}
    _check_apart(path, {name: splits[name] for name in names.values()}, columns[0])
    mean, std = statistics(read["train"].images)
    texts, files = tuple(map(str, classes)), _files(root, path, splits)
    return Dataset(read["train"], read["test"], texts, mean, std, val=read.get("val"), read_from=files)


def _load(root: Path, path: str, config: str | None, revision: str | None) -> "datasets.DatasetDict":
    """Return all splits.

    Raises:
        UserError: if the library is missing, or there is no such data set.
    """
    try:
        import datasets
    except ImportError:
        raise UserError("needs the library datasets: python -m pip install 'datasets>=3' (the extra hub)") from None
    local = root / path
    if not local.is_dir() and Path(path).exists():
        # The library would take what lies where the harness is run, so that one grid would mean other data elsewhere.
        raise UserError(
            f"'{path}' is a folder or file of the one this is run in, and is looked for below {root}; name the folder "
            f"that holds it with --data, or for the hub's run elsewhere"
        )
    try:
        return datasets.load_dataset(str(local) if local.is_dir() else path, config, revision=revision)
    except Exception as error:  # whatever the library, its files or the network lead to
        raise UserError(
            f"cannot load '{path}' ({typed_reason(error, 200)}); give USER/NAME as huggingface.co shows it (with "
            f"a network, or once it has been downloaded), or a folder below {root}"
        ) from None


def _splits(path: str, there: list[str], asked: dict[str, str | None]) -> dict[str, str]:
    """Return the name of the split of each part; what is a test part, and where there is one, a validation part."""
    usual = {"train": ("train",), "test": TEST, "val": VAL}
    found: dict[str, str] = {}
    for part, name in asked.items():
        if name is not None and name not in there:
            raise UserError(f"{path}: {part}: there is no split '{name}'; {suggest(name, there)}")
        known = name or next((split for split in usual[part] if split in there), None)
        if known is not None:
            found[part] = known
    if "test" not in found and "val" in found:
        found["test"] = found.pop("val")
    for part, other in itertools.combinations(found, 2):
        if found[part] == found[other]:
            raise UserError(f"{path}: '{found[part]}' cannot be both {part} and {other}; name another split of {there}")
    if "test" not in found:
        raise UserError(f"{path} has no test or validation split, but {', '.join(there)}; name one: test: NAME")
    return found


def _label_column(path: str, split: "datasets.Dataset", asked: str | None) -> str:
    import datasets

    found = _one_of(path, "label", asked, ("label", "fine_label"), split, datasets.ClassLabel)
    if not isinstance(split.features[found], datasets.ClassLabel | datasets.Value):
        raise UserError(f"{path}: the column '{found}' holds no labels")
    return found


def _one_of(
    path: str, option: str, asked: str | None, usual: tuple[str, ...], split: "datasets.Dataset", kind: type
) -> str:
    """Return the column that is asked for, else the first of the usual names, else the only one of a kind."""
    there = list(split.features)
    if asked is not None and asked not in there:
        raise UserError(f"{path}: {option}: there is no column '{asked}'; {suggest(asked, there)}")
    of_kind = [name for name, feature in split.features.items() if isinstance(feature, kind)]
    found = [name for name in usual if name in there][:1] or of_kind
    if asked is None and len(found) != 1:
        why = f"several columns of {option}s ({', '.join(found)})" if found else f"no column of {option}s"
        raise UserError(f"{path} has {why}; name it, {option}: COLUMN, of {', '.join(there)}")
    return asked or found[0]


def _classes(train: "datasets.Dataset", column: str) -> list[Any]:
    """Return the classes in the order of their labels: as the data set names them, or the values that there are."""
    names = getattr(train.features[column], "names", None)
    return list(names) if names else sorted(value for value in train.unique(column) if value is not None)


def _parquet(folder: Path, config: str | None, splits: set[str]) -> list[Path]:
    """Return the parquet files of some splits of a folder."""
    import datasets

    files = datasets.load_dataset_builder(str(folder), config).config.data_files or {}
    return [
        Path(file) for split, own in files.items() if str(split) in splits for file in own if file.endswith(".parquet")
    ]


def _check_names(files: list[Path], column: str, names: tuple[str, ...]) -> None:
    """Raise UserError for a parquet file that names its classes otherwise: the library takes the names of the first,
    and the others' numbers as they are.
    """
    for file in files:
        own = named_classes(pq.read_schema(file), column)
        if own is not None:
            check_names(names, own, file)


def _check_apart(path: str, splits: dict[str, "datasets.Dataset"], column: str) -> None:
    """Raise UserError for a file that is in two splits, as the library sorts files by words in their paths, and a class
    may be called as a split is.
    """
    import datasets

    known: dict[str, str] = {}
    for name, split in splits.items():
        raw = split.select_columns([column]).cast_column(column, datasets.Image(decode=False))
        if not len(raw) or (raw[0][column] or {}).get("bytes"):  # which says nothing of where it comes from
            continue
        for cell in raw:
            file = (cell[column] or {}).get("path")
            if file is not None and known.setdefault(file, name) != name:
                raise UserError(
                    f"{path}: {printable(file)} is in both '{known[file]}' and '{name}', as the library sorts files by "
                    f"the words train, test and their likes in a path; give {{name: folder, path: {path}}}, or call "
                    f"the class otherwise"
                )


def _read(
    place: str, split: "datasets.Dataset", columns: tuple[str, str], classes: list[Any], size: int | None, exif: bool
) -> ImageSet:
    """Return the images of a split, decoded by the harness, and their labels.

    Raises:
        UserError: naming the row of what is no image or no label.
    """
    import datasets

    image, label = columns
    named = hasattr(split.features[label], "names")
    numbers = {name: number for number, name in enumerate(range(len(classes)) if named else classes)}
    values = split[label][:]
    for row, value in enumerate(values):
        if value not in numbers:
            raise UserError(
                f"{place}, row {row}: the label {value!r} is none of the {len(classes)} classes; of a split without "
                f"labels name another: test: NAME"
            )
    try:
        raw = split.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    except Exception:  # whatever the library says of a column of something else
        raise UserError(f"{place}: the column '{image}' holds no images") from None

    def images() -> Iterator[tuple[np.ndarray, str]]:
        for row, cell in enumerate(raw):
            where = f"{place}, row {row}"
            yield decode(_source(cell[image], where), size, where, exif), where

    labels = torch.tensor([numbers[value] for value in values], dtype=torch.int64)
    return ImageSet(stack(images(), len(split), size), labels)


def _source(cell: dict[str, Any] | None, place: str) -> bytes | Path:
    """Return an encoded image, or the file that it is in."""
    found = cell or {}
    if not (found.get("bytes") or found.get("path")):
        raise UserError(f"{place}: no image")
    return found["bytes"] or Path(found["path"])


def _files(root: Path, path: str, splits: "datasets.DatasetDict") -> tuple[Path, ...]:
    """Return what the harness' cache is good as long as it stays: the folder, or the library's own files."""
    if (root / path).is_dir():
        return (root / path,)
    return tuple(sorted({Path(file["filename"]) for split in splits.values() for file in split.cache_files}))
