"""iNaturalist 2018: 437,513 + 24,426 images of 8,142 species, naturally long-tailed, streamed."""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from headbench.core.errors import UserError
from headbench.data.formats.image_files import file_set
from headbench.data.formats.walking import read_lines
from headbench.data.registry import Dataset, FileSet, register

MEAN, STD, SIZE = (0.466, 0.471, 0.380), (0.195, 0.194, 0.192), 224


@register(
    "inaturalist2018",
    version=1,
    source="Van Horn et al., CVPR 2018; the competition's JSON files and images; its validation set is the test part",
    places="inaturalist2018/train2018.json",
)
def inaturalist2018(root: Path) -> Dataset:
    """Find ``root/inaturalist2018/{train,val}2018.json``, and the images that they name below the same folder.

    Classes have the names that the training file gives, or their number.
    """
    folder = root / "inaturalist2018"
    train, test = (_read(folder / f"{part}2018.json") for part in ("train", "val"))
    categories = sorted(train.categories, key=lambda category: category.id)
    _check_names(folder / "val2018.json", train, test)
    labels = {category.id: number for number, category in enumerate(categories)}
    names = tuple(category.name or str(category.id) for category in categories)
    return Dataset(_part(folder, train, labels, "train"), _part(folder, test, labels, "val"), names, MEAN, STD)


class _Image(BaseModel):
    id: int
    file_name: str


class _Annotation(BaseModel):
    image_id: int
    category_id: int


class _Category(BaseModel):
    id: int
    name: str = ""


class _Contents(BaseModel):
    """What the loader needs of a competition file."""

    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def _read(file: Path) -> _Contents:
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    try:
        return _Contents.model_validate_json("\n".join(read_lines(file)))
    except ValidationError as error:
        problem = error.errors()[0]
        kind = (
            "not JSON"
            if problem["type"] == "json_invalid"
            else f"not as published, at {'.'.join(map(str, problem['loc']))}"
        )
        raise UserError(f"{file}: {kind} ({problem['msg'][:120]})") from None


def _check_names(file: Path, train: _Contents, test: _Contents) -> None:
    """Raise UserError, naming the file of the test part, where a category of both parts has two names."""
    named = {category.id: category.name for category in train.categories}
    for category in test.categories:
        known = named.get(category.id)
        if known and category.name and known != category.name:
            raise UserError(f"{file}: category {category.id} is {category.name!r}, in train2018.json {known!r}")


def _part(folder: Path, contents: _Contents, labels: dict[int, int], name: str) -> FileSet:
    category = {annotation.image_id: annotation.category_id for annotation in contents.annotations}
    paths, found = [], []
    for image in contents.images:
        known = category.get(image.id)
        if known not in labels:
            raise UserError(f"{folder / f'{name}2018.json'}: image {image.file_name} has no known category ({known})")
        paths.append(image.file_name)
        found.append(labels[known])
    return file_set(folder, paths, found, SIZE)
