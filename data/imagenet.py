"""ImageNet-1K (ILSVRC 2012): a folder tree, streamed."""

from pathlib import Path

from headbench.core.errors import UserError
from headbench.data.formats.image_files import class_folders, file_set, labelled_files
from headbench.data.formats.walking import printable
from headbench.data.registry import Dataset, register

MEAN, STD, SIZE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224


@register(
    "imagenet",
    version=1,
    source="Russakovsky et al., 2015; the user's own folder tree; the validation set is the test part, as in every "
    "paper",
    places="imagenet/train",
)
def imagenet(root: Path) -> Dataset:
    """Find ``root/imagenet/{train,val}/<WordNet id>/*.JPEG``; images are read batch by batch and never all kept."""
    folder, parts = root / "imagenet", ("train", "val")
    try:
        names, _ = (class_folders(folder / part) for part in parts)
    except UserError as error:
        raise UserError(
            f"{error}; images are wanted as imagenet/{{train,val}}/<WordNet id>/*.JPEG, those of val sorted into them "
            "too"
        ) from None
    train, test = (file_set(folder / part, *labelled_files(folder / part, names), SIZE) for part in parts)
    return Dataset(train, test, tuple(map(printable, names)), MEAN, STD)
