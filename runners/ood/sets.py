"""The data sets that a grid calls out of distribution: which they are, and their images as a cell's own are shown."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headbench.core.errors import UserError, at
from headbench.data import DATASETS, Dataset, FileSet, ImageSet
from headbench.data.loading import foreign
from headbench.data.loading.foreign import Foreign
from headbench.data.registry import Samples
from headbench.runners.grid.cells import TOLD_BY_THE_DATA, Cell, digest
from headbench.runners.grid.config import Grid
from headbench.runners.training import parts
from headbench.runners.training.data import Data
from headbench.runners.training.parts import Parts

# Part of the images of another data set that may be a cell's own, as a few are that many data sets have.
SHARED = 0.01
# Raised whenever the same images would be shown otherwise.
VERSION = 1


@dataclass(frozen=True)
class OodSet:
    """A data set that is out of distribution.

    Attributes:
        name: in the registry.
        options: all of them.
        label: in tables.
        key: 16 digits that stand for its images and how they are shown.
    """

    name: str
    options: dict[str, Any]
    label: str
    key: str = ""

    def listed(self) -> dict[str, str]:
        """Return it as ``grid.yaml`` has it."""
        return {"label": self.label, "key": self.key}


def named(grid: Grid, cells: Iterable[Cell]) -> list[OodSet]:
    """Return the sets that a grid names, by name and options alone.

    Raises:
        UserError: for an unknown name or option, one that is named twice, or the data set of a cell.
    """
    place, found = f"grid '{grid.name}', ood", dict[str, OodSet]()
    own = {cell.dataset_label for cell in cells}
    for choice in grid.ood:
        entry = choice.entry(DATASETS, place)
        options, label = choice.resolve(entry, f"{place}, data set '{choice.name}'")
        with choice.placed():
            if label in found:
                raise UserError(f"{place}: '{label}' is named twice")
            if label in own:
                raise UserError(
                    f"{place}: '{label}' is the data set of cells of this grid, not another one; leave it out, or give "
                    f"those cells a grid of their own"
                )
        found[label] = OodSet(entry.name, options, label)
    return list(found.values())


def loaded(sets: Iterable[OodSet], cells: Iterable[Cell], data: Data) -> tuple[OodSet, ...]:
    """Return sets with their keys, after a look at their images.

    Args:
        sets: of :func:`named`.
        cells: that are measured on them.
        data: of these.

    Raises:
        UserError: if a set is missing or damaged, has images of a cell's own test part, or images that cannot be shown
            as those.
    """
    others = [(one, _load(one, data.root)) for one in sets]
    by_source = {parts.source(cell): cell for cell in cells} if others else {}
    for cell in by_source.values():
        own = data.dataset(cell)
        for one, other in others:
            with at(f"ood: '{one.label}'"):
                foreign.check(other.test.image_shape, own.train.image_shape)
            if same := sorted(_sources(other) & _sources(own)):
                raise UserError(
                    f"ood: '{one.label}' is read from {same[0]}, as is '{cell.dataset_label}', to which cells of this "
                    f"grid belong; leave one of the two out"
                )
            if (count := len(_images(other.test) & _images(own.test))) > SHARED * len(other.test):
                raise UserError(
                    f"ood: {count} of the {len(other.test)} test images of '{one.label}' are in the test part of "
                    f"'{cell.dataset_label}', to which cells of this grid belong; leave one of the two out"
                )
    return tuple(replace(one, key=_key(one, other)) for one, other in others)


def _sources(dataset: Dataset) -> set[Path]:
    """Return the files and folders behind a data set: by them it is known at another size, too."""
    streamed = [dataset.test.root] if isinstance(dataset.test, FileSet) else []
    return {path.resolve() for path in (*dataset.read_from, *streamed)}


def _images(samples: Samples) -> set[Any]:
    """Return what tells the images of a part apart: their bytes, with their shape, or their files."""
    if isinstance(samples, ImageSet):
        return {(samples.image_shape, image.tobytes()) for image in samples.images.numpy()}
    return {samples.root.resolve() / path for path in samples.paths}


def beside(own: Parts, sets: Iterable[OodSet], data: Data) -> Parts:
    """Return the parts of a cell with the test images of sets beside them, shown as its own are.

    Args:
        own: parts of the cell.
        sets: of :func:`loaded`.
        data: of the cell.

    Raises:
        UserError: if a set is not the one that was planned with.
    """
    outside = {}
    for one in sets:
        dataset = _load(one, data.root)
        if _key(one, dataset) != one.key:
            raise UserError(f"the data set {one.label} has changed since the run began; start it again")
        as_own = own.outline.image_shape, own.train.statistics, own.train.labels.device
        outside[one.key] = Foreign(one.label, dataset.test, *as_own, data.readers)
    return replace(own, outside=outside)


def _load(one: OodSet, root: Path) -> Dataset:
    with at("ood"):
        return parts.load(one.name, one.options, root)


def _key(one: OodSet, dataset: Dataset) -> str:
    options = {name: value for name, value in one.options.items() if name not in TOLD_BY_THE_DATA}
    return digest([VERSION, one.name, DATASETS.get(one.name).version, options, dataset.fingerprint])
