"""The trained network of a cell whose weights were kept: :func:`headbench.classifier`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headbench.backbones import BACKBONES
from headbench.core.batch import DataInfo
from headbench.core.errors import UserError
from headbench.core.streams import generator
from headbench.core.validation import fitting
from headbench.data.loading.augment import normalise
from headbench.heads import HEADS
from headbench.results import store
from headbench.runners.grid.cells import Cell
from headbench.runners.python import given
from headbench.runners.python.surroundings import usual
from headbench.runners.training.classifier import Classifier, build, load_weights


class Network(nn.Module):
    """A trained classifier: images to scores, all in float32.

    Args:
        classifier: its backbone, projection and head, which stay the network's.
        inputs: what it was trained on, see :class:`headbench.results.schema.Inputs`.

    Attributes:
        image_shape: (channels, height, width) of its training images.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: Classifier, inputs: dict[str, Any]) -> None:
        super().__init__()
        self.image_shape: tuple[int, int, int] = tuple(inputs["image_shape"])
        self.backbone, self.projection, self.head = classifier.backbone, classifier.projection, classifier.head
        self.register_buffer("mean", torch.tensor(inputs["mean"]))
        self.register_buffer("std", torch.tensor(inputs["std"]))

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, channels, H, W), bytes or floats in [0, 1], to features (B, d)."""
        pixels = 255 * images if images.is_floating_point() else images
        kind = images.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            shown = normalise(pixels, self.mean, self.std).contiguous(memory_format=torch.channels_last)
            features: Tensor = self.projection(self.backbone(shown))
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, channels, H, W), bytes or floats in [0, 1], to logits (B, C)."""
        return self.head.logits(self.features(images))


def classifier(cell: str | Path, out: str | Path) -> Network:
    """Return the network of a finished cell on the CPU, in float32 whatever the cell was trained in, see
    :func:`headbench.classifier`.
    """
    with usual("classifier"):
        return _loaded(given.path("classifier: cell", cell), given.folder("classifier: out", out))


def _loaded(cell: Path, out: Path) -> Network:
    folder = cell if cell.is_dir() else store.cell_folder(out, str(cell))
    result = store.read_result(folder)
    if result is None:
        raise UserError(f"there is no finished cell in {folder}; name its folder, or its cell_id and the folder out")
    if store.WEIGHTS not in result["sha256"] or result.get("inputs") is None:
        raise UserError(
            f"cell {result['cell_id']} was trained without keeping what its network needs; train it with "
            f"keep_weights=True (--keep-weights) in another folder"
        )
    described = _described(folder)
    # What it began with is not needed any more.
    files = described.head_files
    bare = described.backbone_options | dict.fromkeys(described.backbone_files)
    described = described.model_copy(update={"backbone_options": bare, "head_files": {}})
    try:
        network = build(described, _info(result, described.seed), bf16=False)
    except UserError as error:
        if not files:
            raise
        told = f"its head reads a file ({', '.join(files)}), which must lie where it lay when it was trained"
        raise UserError(f"cell {result['cell_id']}: {error}; {told}") from None
    load_weights(network, folder)
    return Network(network, result["inputs"]).eval()


def _described(folder: Path) -> Cell:
    """Return a cell as it was trained, if head and backbone are still of the same version."""
    with fitting(Cell, f"{folder / 'cell.yaml'}, of another version of the harness"):
        described = Cell.model_validate(store.read_description(folder))
    for registry, name, version in (
        (HEADS, described.head, described.head_version),
        (BACKBONES, described.backbone, described.backbone_version),
    ):
        found: Any = registry[name]
        if found.version != version:
            raise UserError(
                f"{folder} was trained with version {version} of '{name}', and this harness has version {found.version}"
            )
    return described


def _info(result: dict[str, Any], seed: int) -> DataInfo:
    facts, inputs = result["facts"], result["inputs"]
    return DataInfo(
        num_classes=facts["num_classes"],
        class_counts=torch.tensor(inputs["class_counts"]),
        class_names=tuple(result["class_names"]),
        train_size=facts["n_train"],
        image_shape=tuple(inputs["image_shape"]),
        generator=generator(seed, "head generator"),
        val_size=facts["n_val"],
    )
