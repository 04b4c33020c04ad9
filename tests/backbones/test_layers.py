"""Backbones layer by layer, written once more in float64 from what their sources say."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from headbench.backbones.fast_convnet import FastConvNet
from headbench.backbones.resnet_cifar import ResNet32


def normed(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    """Batch normalisation by the running statistics."""
    mean, var, weight, bias = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


@pytest.mark.parametrize("shortcut", ["A", "conv3x3"])
def test_resnet32_is_the_network_of_its_paper(shortcut: Literal["A", "conv3x3"]) -> None:
    torch.manual_seed(0)
    network = ResNet32((3, 12, 12), shortcut=shortcut, width=4).eval().double()
    state, images = network.state_dict(), torch.randn(2, 3, 12, 12, dtype=torch.float64)
    x = normed(F.conv2d(images, state["stem.0.weight"], padding=1), state, "stem.1").clamp(min=0)
    for number in range(15):
        block, stride = f"blocks.{number}", 2 if number in (5, 10) else 1
        y = F.conv2d(x, state[f"{block}.conv1.weight"], padding=1, stride=stride)
        y = normed(y, state, f"{block}.norm1").clamp(min=0)
        y = normed(F.conv2d(y, state[f"{block}.conv2.weight"], padding=1), state, f"{block}.norm2")
        if stride == 2 and shortcut == "A":
            none = torch.zeros_like(x[:, : x.shape[1] // 2, ::2, ::2])
            x = torch.cat([none, x[:, :, ::2, ::2], none], dim=1)
        elif stride == 2:
            x = F.conv2d(x, state[f"{block}.shortcut.0.weight"], padding=1, stride=2)
            x = normed(x, state, f"{block}.shortcut.1")
        x = (y + x).clamp(min=0)
    assert torch.allclose(network(images), x.flatten(2).sum(dim=2) / x[0, 0].numel())


def test_resnet32_is_initialised_by_the_outputs_of_each_convolution() -> None:
    """He et al., 2015: a standard deviation of sqrt(2 / fan-out)."""
    torch.manual_seed(0)
    for module in ResNet32((3, 32, 32), width=64).modules():
        if isinstance(module, torch.nn.Conv2d):
            assert module.weight.std().item() == pytest.approx((2 / (9 * module.out_channels)) ** 0.5, rel=0.1)


def test_fast_convnet_is_what_its_docstring_says() -> None:
    torch.manual_seed(0)
    network = FastConvNet((3, 13, 13), widths=(4, 6, 8)).eval().double()
    state, images = network.state_dict(), torch.randn(2, 3, 13, 13, dtype=torch.float64)
    x = images
    for stage in range(3):
        for block in range(2):
            layer = f"stages.{stage}.{block}"
            x = normed(F.conv2d(x, state[f"{layer}.0.weight"], padding=1), state, f"{layer}.1")
            x = x * (1 + torch.erf(x / 2**0.5)) / 2
        x = F.max_pool2d(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-torch.inf), 2)
    assert torch.allclose(network(images), x.flatten(2).max(dim=2).values)
