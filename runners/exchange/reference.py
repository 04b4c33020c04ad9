"""What the labels of an imported classifier are checked against: the data set, or cells that were trained on it."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headbench.core import yaml_files
from headbench.core.errors import DamagedError, NewerError, UserError, note, suggest
from headbench.data import DATASETS, Dataset, cache
from headbench.data.registry import bundled, located
from headbench.data.splits import Protocol, partition
from headbench.results import store
from headbench.results.numbers.calibration import Ints
from headbench.runners.execution import plan
from headbench.runners.execution.launch import data_folder
from headbench.runners.grid.choices import Choice
from headbench.runners.training import parts

# Classes that a message names.
FEW = 3
# Begins the fingerprint of labels alone.
OF_LABELS = "labels-"


@dataclass(frozen=True)
class Named:
    """A data set as a user names it.

    Attributes:
        name: of the registry, or another one.
        options: all of them; none of a data set that is not registered.
        label: as tables show it.
    """

    name: str
    options: dict[str, Any]
    label: str


@dataclass(frozen=True)
class Reference:
    """What is known of the images that were scored.

    Attributes:
        source: for messages.
        fingerprint: of the data set; without one, of the labels.
        labels: (N,) of the test images.
        class_names: C names.
        n_train: training images, 0 where that is unknown.
        nominal: (C,) training images of each class, or None.
        ranges: see :func:`headbench.results.numbers.metrics.groups`.
    """

    source: str
    fingerprint: str
    labels: Ints
    class_names: tuple[str, ...]
    n_train: int = 0
    nominal: Ints | None = None
    ranges: tuple[int, int] | None = None


def named(text: str) -> Named:
    """Return the data set that a text names: ``cifar100``, or ``{name: folder, path: flowers, size: 32}``.

    A note tells of a name that is not registered: its labels are checked against other cells alone.

    Raises:
        UserError: for a text that is no such thing, or an unknown option.
    """
    if not text.strip():
        raise UserError("--dataset: an empty name is given")
    choice = Choice(name=text)
    if text.startswith("{"):
        found = yaml_files.value(text, "--dataset")
        if not isinstance(found, dict) or not isinstance(found.get("name"), str):
            raise UserError(f"--dataset: '{text}' is no name and no {{name: ..., option: ...}}")
        choice = Choice.model_validate(found)
    if choice.name not in DATASETS:
        if choice.options:
            raise UserError(f"--dataset: unknown data set '{choice.name}'; {suggest(choice.name, DATASETS.names())}")
        own = f"own images are {{name: folder, path: {choice.name}, size: 32}}" if Path(choice.name).is_dir() else ""
        note(f"'{choice.name}' is none of the harness's data sets ({own or suggest(choice.name, DATASETS.names())})")
        return Named(choice.name, {}, choice.name)
    options, label = choice.resolve(DATASETS.get(choice.name), "--dataset")
    return Named(choice.name, options, label)


def find(
    dataset: Named, labels: Ints, out: Path, data: Path | None, imbalance_factor: float, protocol: str = ""
) -> Reference:
    """Return what the labels (N,) of test images agree with: the data set where it is at hand, else finished cells of
    it in a folder of runs, else nothing but themselves.

    At hand is what ``data`` names, what the usual data folder has a cache of, and what is bundled. Of a long tail the
    training images of each class are known where the protocol's name says how many are held out.

    Raises:
        UserError: for labels that are not those of the data set, or of cells on it.
    """
    root = at_hand(dataset, data)
    if root is not None:
        loaded = parts.load(dataset.name, dataset.options, root)
        held_out = plan.held_out(protocol)
        found = of_data(dataset, loaded, Protocol(held_out or 0.0, imbalance_factor=imbalance_factor))
        check(found, labels)
        tailed = imbalance_factor > 1 and held_out is None
        return replace(found, n_train=0, nominal=None) if tailed else found
    cells = _of_cells(dataset.label, out)
    for cell in cells:
        if np.array_equal(cell.labels, labels):
            return cell
    if cells:
        check(cells[0], labels)
    return Reference("", f"{OF_LABELS}{hashlib.sha256(labels.tobytes()).hexdigest()[:16]}", labels, ())


def check(reference: Reference, labels: Ints) -> None:
    """Raise UserError for labels (N,) that are not those of a reference."""
    known, source = reference.labels, reference.source
    if len(labels) != len(known):
        raise UserError(f"there are scores of {len(labels):,} images, and {source} has {len(known):,} test images")
    differing = np.flatnonzero(labels != known)
    if len(differing):
        first = int(differing[0])
        order = np.array_equal(np.sort(labels), np.sort(known))
        raise UserError(
            f"the labels are not those of {source}: {len(differing):,} of {len(labels):,} differ, the first in row "
            f"{first} ({labels[first]}, and there {known[first]})"
            + ("; they are the same in another order, so score the test images in theirs" if order else "")
        )


def check_classes(reference: Reference, classes: int, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the names of the classes.

    Args:
        reference: of the images.
        classes: C of the scores.
        names: C names in the file of scores, or None.

    Raises:
        UserError: if the data set has other classes.
    """
    known = reference.class_names
    if not known:
        return names or tuple(map(str, range(classes)))
    if len(known) != classes:
        raise UserError(f"there are scores of {classes} classes, and {reference.source} has {len(known)}")
    wrong = [] if names is None else [(a, b) for a, b in zip(names, known, strict=True) if a != b]
    if wrong:
        told = ", ".join(f"'{a}' for '{b}'" for a, b in wrong[:FEW])
        raise UserError(f"the columns are not the classes of {reference.source} in its order: {told}")
    return known


def at_hand(dataset: Named, data: Path | None) -> Path | None:
    """Return the data folder that has a data set, or None."""
    if dataset.name not in DATASETS:
        return None
    if data is not None:
        return data_folder(data)
    root = data_folder(None)
    entry = DATASETS.get(dataset.name)
    return root if _cached(dataset, root) or bundled(entry) or located(entry, root) is not None else None


def lying_in(dataset: Named, root: Path) -> Dataset | None:
    """Return a registered data set that is bundled or lies in a data folder, else None: what is not there is not
    downloaded, and a note says what is wrong with one that cannot be read.
    """
    entry = DATASETS.get(dataset.name)
    if entry.about.get("places") and not _cached(dataset, root) and located(entry, root) is None:
        return None
    try:
        return parts.load(dataset.name, dataset.options, root)
    except UserError as error:
        note(str(error))
        return None


def _cached(dataset: Named, root: Path) -> bool:
    entry = DATASETS.get(dataset.name)
    meta = cache.read_meta(cache.folder_of(entry, dataset.options, root))
    return meta is not None and meta["version"] == entry.version


def of_data(dataset: Named, loaded: Dataset, protocol: Protocol) -> Reference:
    """Return what a data set that was loaded says, divided by a protocol."""
    divided = partition(loaded, protocol)
    return Reference(
        f"the data set '{dataset.label}'",
        loaded.fingerprint,
        loaded.test.labels.numpy(),
        loaded.class_names,
        len(divided.train),
        divided.nominal.to(torch.int64).numpy(),
        loaded.ranges,
    )


def _of_cells(label: str, out: Path) -> list[Reference]:
    """Return what finished cells say of a data set: one cell for each fingerprint, trained ones first."""
    planned = list[dict[str, Any]]()
    for grid in store.grids(out):
        with suppress(DamagedError):
            planned += store.read_plan(store.grid_folder(out, grid))["cells"]
    found = dict[str, Reference]()
    for cell in sorted(planned, key=lambda cell: "imported" in cell):
        if cell["dataset"] == label and cell["data_fingerprint"] not in found and not cell["not_applicable"]:
            known = _of_cell(store.cell_folder(out, cell["cell_id"]))
            found |= {} if known is None else {known.fingerprint: known}
    return list(found.values())


def _of_cell(folder: Path) -> Reference | None:
    """Return what a cell says of its data set; None where it is not done, or damaged."""
    try:
        result = store.read_result(folder)
        if result is None:
            return None
        labels = store.read_predictions(folder, "test_labels")["test_labels"].astype(np.int64)
    except (DamagedError, NewerError):
        return None
    facts = result["facts"]
    return Reference(
        f"cell {result['cell_id']} ({facts['head_label']} on {facts['dataset']})",
        facts["data_fingerprint"],
        labels,
        tuple(result["class_names"]),
        facts["n_train"] if facts["imbalance_factor"] == 1 else 0,
    )
