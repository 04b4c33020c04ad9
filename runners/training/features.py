"""Features of a frozen backbone: computed once for a whole data set, kept on disk by what they depend on.

They are in ``$HEADBENCH_CACHE``, else in ``DATA/.headbench``, then ``features/<key>/``: a file of float32 rows for each
part of the data set, and ``meta.json`` when all are there. A file grows batch by batch, so that a computation that was
stopped goes on where it was.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from headbench.backbones import Backbone
from headbench.core.errors import note
from headbench.core.folders import from_environment
from headbench.data import Dataset, ImageSet, cache
from headbench.data.loading.augment import Augmentation, Statistics, normalise
from headbench.data.loading.features import VIEWS
from headbench.data.registry import Samples
from headbench.heads import HEADS
from headbench.results import store
from headbench.runners.grid.cells import Cell, digest
from headbench.runners.training.classifier import build_backbone, pooled
from headbench.runners.training.stages import stage_plan

BATCH = 100


@dataclass(frozen=True)
class Source:
    """What features of a data set come from.

    Attributes:
        cell: any of the cells that share them.
        dataset: the images.
        statistics: that they are normalised by.
        device: to compute them on.
        bf16: autocast the backbone to bfloat16.
    """

    cell: Cell
    dataset: Dataset
    statistics: Statistics
    device: torch.device
    bf16: bool

    @property
    def identity(self) -> dict[str, Any]:
        """All that the features depend on; on the seed where the backbone has no weights of its own."""
        cell = self.cell
        made = {"weights": cell.backbone_files} if cell.backbone_files else {"seed": cell.seed}
        options = {name: value for name, value in cell.backbone_options.items() if name not in cell.backbone_files}
        return made | {
            "data": self.dataset.fingerprint,
            "backbone": [cell.backbone, cell.backbone_version, options],
            "statistics": self.statistics,
            "precision": "bf16" if self.bf16 else "fp32",
            # Other ones round otherwise.
            "device": self.device.type,
            "torch": str(torch.__version__),
        }

    @property
    def key(self) -> str:
        """The name of their folder."""
        return digest(self.identity)

    def parts(self) -> dict[str, Samples]:
        """Return the parts of the data set that the cell sees by their names."""
        left_out = {"test"} if self.cell.purpose == "tune" else set[str]()
        return {name: part for name, part in self.dataset.parts().items() if name not in left_out}


def are_fixed(cell: Cell, dataset: Dataset) -> bool:
    """Say whether every step of a cell sees the same features of an image: its backbone is frozen, and no stage of its
    head augments or mixes images, which are in memory.
    """
    if cell.freeze != "backbone" or not isinstance(dataset.train, ImageSet):
        return False
    stages = stage_plan(cell, HEADS.get(cell.head).target, len(dataset.train))
    return all(recipe.augmentation() == Augmentation() and VIEWS.issuperset(stage.views) for stage, recipe in stages)


def of(source: Source, root: Path) -> dict[str, Tensor]:
    """Return the features (M, F) float32 of each part that a cell sees, on the CPU and by name, mapped where they are
    on disk and computed where they are not.

    Args:
        source: what they come from.
        root: the data folder.
    """
    folder = (from_environment("HEADBENCH_CACHE") or root / cache.FOLDER) / "features" / source.key
    with cache.alone_with(folder):
        found = _open(folder, source.parts())
        if found is not None:
            return found
        backbone = _backbone(source)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder, source, backbone)
        except OSError as error:
            note(f"cannot write the features {folder} ({error.strerror or error}); they are computed at every start")
            return {name: torch.cat(list(_computed(source, backbone, name, 0))) for name in source.parts()}
        found = _open(folder, source.parts())
    assert found is not None  # just written
    return found


def _open(folder: Path, parts: dict[str, Samples]) -> dict[str, Tensor] | None:
    """Return the features of a folder, or None where they are absent or unfinished; a damaged file goes."""
    try:
        files = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["files"]
        found = {}
        for name, part in parts.items():
            width, path = files[name]["width"], folder / f"{name}.f32"
            if path.stat().st_size != 4 * width * len(part) or cache.sha256(path) != files[name]["sha256"]:
                path.unlink()
                return None
            # Copy-on-write, since torch may have no tensor that it could not write to.
            rows = np.memmap(path, np.float32, "c", shape=(len(part), width))
            found[name] = torch.from_numpy(rows)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found


def _write(folder: Path, source: Source, backbone: Backbone) -> None:
    """Compute what is missing of the features, and write ``meta.json`` when all are there."""
    progress = _Progress(source, folder)
    files = {}
    for name, part in source.parts().items():
        path, width = folder / f"{name}.f32", backbone.num_features
        with path.open("ab") as file:
            first = _kept(file, width, len(part))
            progress.left -= first
            for batch in _computed(source, backbone, name, first):
                file.write(batch.numpy().tobytes())
                progress.add(len(batch))
            file.flush()
            os.fsync(file.fileno())
        if path.stat().st_size != 4 * width * len(part):
            raise OSError("another process wrote to them, too")
        files[name] = {"width": width, "sha256": cache.sha256(path)}
    facts = {"files": files, "of": source.identity, "torch": torch.__version__, "threads": torch.get_num_threads()}
    store.write_text(folder / "meta.json", json.dumps(facts | {"device": source.device.type}, indent=1))


def _kept(file: BinaryIO, width: int, count: int) -> int:
    """Cut a file of at most ``count`` rows to whole batches, if it is unfinished; return how many rows are left. One
    that has more is of two machines that wrote at once, and of no use.
    """
    rows, rest = divmod(file.seek(0, os.SEEK_END), 4 * width)
    kept = rows if (rows, rest) == (count, 0) else rows // BATCH * BATCH if rows < count else 0
    file.truncate(kept * width * 4)
    return kept


def _backbone(source: Source) -> Backbone:
    assert isinstance(source.dataset.train, ImageSet)
    _, channels, height, width = source.dataset.train.images.shape
    return build_backbone(source.cell, (channels, height, width)).to(source.device).eval()


@torch.no_grad()
def _computed(source: Source, backbone: Backbone, part: str, first: int) -> Iterator[Tensor]:
    """Yield the features (B, F) float32 of the images of a part from the ``first`` on, on the CPU."""
    samples, device = source.parts()[part], source.device
    assert isinstance(samples, ImageSet)
    mean, std = (torch.tensor(values, device=device) for values in source.statistics)
    for images in torch.split(samples.images[first:], BATCH) if first < len(samples) else ():
        yield pooled(backbone, normalise(images.to(device), mean, std), bf16=source.bf16).cpu()


class _Progress:
    """Tells of a computation that takes long: what it is, and after its first images how long it will take."""

    AFTER = 1000

    def __init__(self, source: Source, folder: Path) -> None:
        self.left = sum(len(part) for part in source.parts().values())
        self.seen, self.start = 0, time.monotonic()
        note(f"features of {source.cell.dataset_label} by {source.cell.backbone_label}, once, to {folder}")

    def add(self, count: int) -> None:
        before, self.seen, self.left = self.seen, self.seen + count, self.left - count
        if before < self.AFTER <= self.seen and self.left:
            seconds = (time.monotonic() - self.start) / self.seen * self.left
            if seconds > 60:
                note(f"about {seconds / 60:.0f} minutes for {self.left:,} images; what is computed is kept")
