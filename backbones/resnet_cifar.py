"""ResNet-32 for small images, in the variants of the papers compared here."""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from pydantic import FilePath, PositiveInt
from torch import Tensor, nn

from headbench.backbones.registry import Backbone, register
from headbench.backbones.weights import load_weights


class _Subsample(nn.Module):
    """Shortcut option A of He et al., 2016: every second pixel, and zeros for the new channels, half on each side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.before, self.after))


def _convolved(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs))


SHORTCUTS: dict[str, Callable[[int, int], nn.Module]] = {"conv3x3": _convolved, "A": _Subsample}


class _Block(nn.Module):
    """Two 3x3 convolutions with batch norm, around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


@register(
    "resnet32",
    version=1,
    source="He et al., CVPR 2016, section 4.2, n = 5; shortcut conv3x3 as in the code of HPN and DL2PA, A as in "
    "LDAM-DRW and ETF",
    deviations="convolutions start at N(0, 2/(9 outputs)) as in HPN; LDAM-DRW and ETF start at N(0, 2/(9 inputs))",
)
class ResNet32(Backbone):
    """ResNet-32: a 3x3 stem, three stages of five blocks with widths w, 2w, 4w, and the global mean.

    Args:
        image_shape: (channels, height, width); any size.
        shortcut: where the width changes, ``conv3x3`` (3x3 convolution of stride 2 and batch norm) or ``A``
            (subsampling and zero channels, no parameters).
        width: w; 16 gives 64 features, 32 the double-width form of the long-tailed CIFAR-100 tables with 128.
        weights: file of trained ones, such as the ``weights.pt`` of a finished cell.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        shortcut: Literal["conv3x3", "A"] = "conv3x3",
        width: PositiveInt = 16,
        weights: FilePath | None = None,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(image_shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        widths = [width] * 5 + [2 * width] * 5 + [4 * width] * 5
        blocks = []
        for inputs, outputs in zip([width, *widths[:-1]], widths, strict=True):
            grows = inputs != outputs
            blocks.append(
                _Block(
                    inputs, outputs, 2 if grows else 1, SHORTCUTS[shortcut](inputs, outputs) if grows else nn.Identity()
                )
            )
        self.blocks = nn.Sequential(*blocks)
        self.num_features = 4 * width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        load_weights(self, weights)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, channels, H, W) to features (B, num_features)."""
        x: Tensor = self.blocks(self.stem(images))
        return x.mean(dim=(2, 3))
