"""Any parquet files in the Hugging Face image layout."""

from pathlib import Path

from pydantic import PositiveInt

from headbench.core.errors import UserError
from headbench.data.formats.image_files import statistics
from headbench.data.formats.parquet_files import check_names, read_images
from headbench.data.formats.shards import part_files
from headbench.data.registry import Dataset, register


@register("parquet", version=1, source="your own files; {name: parquet, path: FOLDER} in a grid")
def parquet(root: Path, *, path: str = "parquet", size: PositiveInt | None = None, exif: bool = True) -> Dataset:
    """Load ``root/path/{train,val*,test}*.parquet`` with columns ``image`` or ``img`` and ``label`` or ``fine_label``.

    Without ``test`` files those of ``val*`` are the test part; with both, they validate.

    Args:
        root: the data folder.
        path: of the files, below the data folder.
        size: bring all images to size x size pixels; without it they must all have the same size.
        exif: bring images upright as their EXIF orientation says, as viewers and Hugging Face's ``datasets`` do.
    """
    folder = root / path
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    files = {part: part_files(folder, part) for part in ("train", "val", "test")}
    held = [part for part in ("val", "test") if files[part]]
    if not files["train"] or not held:
        raise UserError(f"no {'test*.parquet or val*' if files['train'] else 'train*'}.parquet in {folder}")
    read = {part: read_images(files[part], size=size, exif=exif) for part in ("train", *held)}
    (train, names), (test, _) = read["train"], read[held[-1]]
    for part in held:
        check_names(names, read[part][1], files[part][0])
    mean, std = statistics(train.images)
    val = read["val"][0] if held == ["val", "test"] else None
    return Dataset(train, test, names, mean, std, val=val, read_from=(folder,))
