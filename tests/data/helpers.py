"""What the tests of data sets share: small images, and files in the published formats."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from headbench.data import FileSet, ImageSet
from headbench.data.registry import Samples


def images_of(part: Samples) -> torch.Tensor:
    """The images of a part that is held in memory."""
    assert isinstance(part, ImageSet)
    return part.images


def paths_of(part: Samples) -> list[str]:
    """The paths of a part that is streamed."""
    assert isinstance(part, FileSet)
    return list(part.paths)


def random_images(count: int, seed: int, side: int = 32) -> np.ndarray:
    """Images (count, side, side, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """An encoded image."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return buffer.getvalue()


def save(path: Path, pixels: np.ndarray) -> None:
    """Write an image by its suffix, in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_parquet(
    path: Path,
    images: list[bytes],
    labels: list[int],
    names: list[str] | None,
    columns: tuple[str, str] = ("img", "fine_label"),
) -> None:
    """Write a file in the Hugging Face layout; CIFAR-100's by default."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contents: dict[str, Any] = {columns[0]: [{"bytes": image, "path": None} for image in images], columns[1]: labels}
    if columns[1] == "fine_label":
        contents["coarse_label"] = [label // 5 for label in labels]
    table = pa.table(contents)
    if names is not None:
        features = {columns[0]: {"_type": "Image"}, columns[1]: {"names": names, "_type": "ClassLabel"}}
        features["coarse_label"] = {"names": [f"group{c}" for c in range(20)], "_type": "ClassLabel"}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
