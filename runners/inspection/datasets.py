"""What ``bench.py data`` does: list the data sets, verify their caches, show what the network sees."""

import io
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from headbench.core.batch import Targets
from headbench.core.errors import note
from headbench.core.registry import Entry
from headbench.data import DATASETS, cache
from headbench.data.loading.contact_sheet import contact_sheet
from headbench.data.loading.epoch import Epoch, batches
from headbench.data.loading.views import FILE_VIEWS, VIEWS
from headbench.data.registry import bundled, located
from headbench.data.splits import Protocol, partition
from headbench.results import store
from headbench.runners.grid import recipes
from headbench.runners.training import parts


def listed(root: Path) -> list[dict[str, str]]:
    """Return a row for each registered data set: its name, its state, and where it is: what its cache (with default
    options) holds and was read from, what was found, or where it is looked for.
    """
    rows = []
    for name in DATASETS.names():
        entry = DATASETS[name]
        cached = cache.read_meta(cache.folder_of(entry, entry.defaults, root))
        state, where = _uncached(entry, root) if cached is None else ("cached", _held(cached))
        rows.append({"data set": name, "state": state, "where": where})
    return rows


def _held(meta: dict[str, Any]) -> str:
    """Say what a cache holds."""
    first, *others = meta["read_from"]
    more = f" and {len(others)} more" if others else ""
    return f"{_counted(meta['counts'])} in {len(meta['class_names'])} classes from {first}{more}, {meta['fingerprint']}"


def _uncached(entry: Entry[Any], root: Path) -> tuple[str, str]:
    """Return the state of a data set without a cache and where it is, by the ``places`` and the ``download`` that its
    file registers.
    """
    places, download = entry.about.get("places", "").split(), entry.about.get("download")
    found = located(entry, root)
    if found is not None:
        return "found, not yet read", str(found.relative_to(root) if found.is_relative_to(root) else found)
    if not places:
        return ("bundled", "") if bundled(entry) else ("named by its options", "")
    return (f"would be downloaded ({download})" if download else "not found"), places[0]


def verify(root: Path, name: str | None, options: dict[str, Any]) -> list[str]:
    """Read caches again and compare them with what was written; return a line for each.

    Args:
        root: the data folder.
        name: of a data set, which is read and cached first if it is not yet; None for every cache that is there.
        options: of the data set.

    Raises:
        UserError: naming the file that is damaged or missing.
    """
    if name is None:
        folders = sorted(
            path for path in (root / cache.FOLDER).glob("*") if path.is_dir() and not path.name.startswith(".")
        )
        return [_line(folder.name, cache.verify(folder)) for folder in folders] or [
            f"no caches in {root / cache.FOLDER}"
        ]
    entry = DATASETS.get(name)
    resolved = entry.resolve(options, f"data set '{name}'")
    folder = cache.folder_of(entry, resolved, root)
    dataset = parts.load(name, resolved, root)
    kept = cache.verify(folder) if folder.is_dir() else None
    if kept is not None and kept["fingerprint"] == dataset.fingerprint:
        return [_line(folder.name, kept)]
    counts = _counted({kind: len(part) for kind, part in dataset.parts().items()})
    return [
        f"{name}: {counts}, {len(dataset.class_names)} classes, fingerprint {dataset.fingerprint}; read as it is, not "
        f"cached"
    ]


def _counted(counts: dict[str, int]) -> str:
    return " + ".join(f"{count:,} {part}" for part, count in counts.items())


def _line(name: str, meta: dict[str, Any]) -> str:
    counts = _counted(meta["counts"])
    statistics = f"mean {_rounded(meta['mean'])}, std {_rounded(meta['std'])}"
    sources = ", ".join(meta["read_from"])
    return (
        f"{name}: {counts}, {len(meta['class_names'])} classes, {statistics}, read from {sources}, fingerprint "
        f"{meta['fingerprint']}: whole"
    )


def _rounded(values: list[float]) -> str:
    return "/".join(f"{value:.4f}" for value in values)


@dataclass(frozen=True)
class Sheet:
    """What a contact sheet shows.

    Attributes:
        recipe: whose augmentation and normalisation are applied.
        view: of the images; none but ``weak`` is mixed, as in training.
        imbalance_factor: of the long tail, 1 for the whole training set.
        count: images on the sheet.
    """

    recipe: str
    view: str
    imbalance_factor: float
    count: int


def show(root: Path, name: str, options: dict[str, Any], wanted: Sheet, file: Path) -> None:
    """Write a contact sheet of a training batch as the network sees it, and note what of the recipe is not shown.

    Args:
        root: the data folder.
        name: of the data set.
        options: of the data set.
        wanted: what is on the sheet.
        file: the PNG to write.

    Raises:
        UserError: for an unknown name, data that are missing, or a view that they cannot be shown in.
    """
    recipe = recipes.load(wanted.recipe, {}, "data show")
    if wanted.view not in FILE_VIEWS:
        VIEWS.get(wanted.view)
    dataset = parts.load(name, DATASETS.get(name).resolve(options, f"data set '{name}'"), root)
    chosen = partition(dataset, Protocol(imbalance_factor=wanted.imbalance_factor))
    shown = recipe.normalisation
    statistics = (dataset.mean, dataset.std) if shown is None else (shown.mean, shown.std)
    part = parts.lay(dataset, chosen, statistics, torch.device("cpu")).train
    augmentation = recipe.augmentation()
    if wanted.view != "weak":
        augmentation = replace(augmentation, mixup=0.0, cutmix=0.0)
    kind = parts.kind(dataset)
    if absent := [field for field in kind.ignored if getattr(augmentation, field)]:
        note(
            f"recipe '{wanted.recipe}': not shown: {', '.join(absent)}, which these images cannot have; a training "
            f"refuses such a recipe"
        )
    kind.check_view(wanted.view, augmentation, part.image_shape)
    epoch = Epoch((wanted.view,), augmentation, min(wanted.count, len(part)), False, "instance", 0, 0)
    batch = next(iter(batches(part, epoch)))
    mean, std = (torch.tensor(values) for values in statistics)
    sheet = contact_sheet(batch.images[0], _titles(batch.targets, dataset.class_names), mean, std)
    content = io.BytesIO()
    sheet.save(content, format="png")
    store.write_bytes(file, content.getvalue())


def _titles(targets: Targets, names: tuple[str, ...]) -> list[str]:
    """Return each image's class, or both classes of a mixed one with their weights."""
    titles = []
    for place in range(len(targets.labels)):
        words = [names[int(labels[place])] for labels, _ in targets.pairs]
        weights = [f"{float(weight):.2f} " if len(words) > 1 else "" for _, weight in targets.pairs]
        lines = [f"{weight}{word}" for weight, word in zip(weights, words, strict=True)]
        titles.append(
            "\n".join(textwrap.shorten(line, 18, placeholder="..") for line in lines)
            if len(lines) > 1
            else textwrap.fill(lines[0], 17, max_lines=2, placeholder="..")
        )
    return titles
