"""Data sets that torchvision downloads and checks."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import UserError
from data.registry import ImageSet


def fetch(name: str, root: Path, **arguments: Any) -> Any:
    """Return torchvision's data set of that name from ``root``, downloaded there if it is missing.

    Raises:
        UserError: if it is neither there nor to be downloaded, or damaged.
    """
    # Importing torchvision takes 1.2 s, which a process that needs none of its data sets is spared.
    import torchvision

    dataset = getattr(torchvision.datasets, name)
    try:
        root.mkdir(exist_ok=True)
        return dataset(root, download=True, **arguments)
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        which = "".join(f" ({key} {value})" for key, value in arguments.items() if key == "split")
        missing = f"{name}{which} is not (whole) in {root / getattr(dataset, 'base_folder', '')} and could not be downloaded ({reason})"
        raise UserError(f"{missing}; name the folder that holds it with --data") from None


def image_set(dataset: Any) -> ImageSet:
    """Return torchvision's ``data`` (N, H, W, channels) and ``targets`` as an :class:`ImageSet`."""
    images = torch.from_numpy(np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2)))
    return ImageSet(images, torch.tensor(dataset.targets, dtype=torch.int64))
