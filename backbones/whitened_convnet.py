"""A small convolutional network behind a whitening stem, which pools between its convolutions: cheap to train."""

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import FilePath, PositiveInt
from torch import Tensor, nn

from headbench.backbones.registry import Backbone, register
from headbench.backbones.weights import load_weights
from headbench.core.errors import UserError

# Side of the stem's filters.
SIDE = 2
# Added to the variances of patches, of images normalised to about 1.
FLOOR = 5e-4


@register(
    "whitened_convnet",
    version=1,
    paper="Jordan, 2024",
    source="the network of airbench94: whitening stem, three groups of convolution, pooling, convolution, Dirac "
    "initialisation, batch norm without scale",
    deviations="stem without bias; widths 64-128-256; the maximum over all that is left; batch norm with torch's "
    "momentum and epsilon; the output is not scaled",
)
class WhitenedConvNet(Backbone):
    """A frozen whitening stem, then three groups of two 3x3 convolutions, each with batch norm and GELU; the maximum.

    The 2x2 pooling of a group is right behind its first convolution, so that the second sees a quarter of the pixels.

    Args:
        image_shape: (channels, height, width), of at least 2 x 2 pixels; any size, since a side of one pixel is not
            pooled.
        widths: channels of the groups.
        stem: begin with filters that whiten the 2x2 patches of training images, and their negatives.
        pool: ``between`` the convolutions of a group, or ``after`` both.
        dirac: let each convolution begin by handing its inputs on, as far as it has outputs.
        norm_scale: let batch norm learn a scale beside its offset.
        weights: file of trained ones, such as the ``weights.pt`` of a finished cell.

    Raises:
        UserError: for images of less than 2 x 2 pixels.
    """

    filters: Tensor

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        widths: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 128, 256),
        stem: bool = True,
        pool: Literal["between", "after"] = "between",
        dirac: bool = True,
        norm_scale: bool = False,
        weights: FilePath | None = None,
    ) -> None:
        super().__init__()
        if min(image_shape[1:]) < SIDE:
            raise UserError(f"whitened_convnet: images of {image_shape[1]} x {image_shape[2]} pixels; at least 2 x 2")
        patch = image_shape[0] * SIDE**2
        # Random until :meth:`prepare`, so that the network is one without data too.
        self.register_buffer("filters", torch.randn(2 * patch, image_shape[0], SIDE, SIDE) / SIDE if stem else None)
        channels = (2 * patch if stem else image_shape[0], *widths)
        layers = []
        for before, width in zip(channels[:-1], widths, strict=True):
            layers += [_Layer(before, width, "inside" if pool == "between" else "no")]
            layers += [_Layer(width, width, "behind" if pool == "after" else "no")]
        for layer in layers:
            layer.norm.weight.requires_grad_(norm_scale)
            if dirac:
                nn.init.dirac_(layer.convolution.weight.data[: layer.convolution.in_channels])
        self.layers = nn.Sequential(*layers)
        self.num_features = widths[-1]
        load_weights(self, weights)

    @torch.no_grad()
    def prepare(self, images: Iterable[Tensor]) -> None:
        """Set the stem's filters from images (B, channels, H, W)."""
        if self.filters is not None:
            self.filters.copy_(whitening(images, SIDE))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, channels, H, W) to features (B, num_features)."""
        x: Tensor = self.layers(images if self.filters is None else F.gelu(F.conv2d(images, self.filters)))
        return x.amax(dim=(2, 3))


class _Layer(nn.Module):
    """A 3x3 convolution, batch norm and GELU, with 2x2 pooling behind the convolution (``inside``), at the end
    (``behind``) or not at all (``no``).
    """

    def __init__(self, inputs: int, outputs: int, pool: str) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        x = F.gelu(self.norm(_pooled(x) if self.pool == "inside" else x))
        return _pooled(x) if self.pool == "behind" else x


def _pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=min(x.shape[-2:]) == 1)


def whitening(images: Iterable[Tensor], side: int) -> Tensor:
    """Return filters (2 P, channels, side, side) that whiten patches: for P = channels x side^2 values of a patch, the
    eigenvectors of their covariance by the roots of its eigenvalues, and the negatives of these; float32.

    Args:
        images: batches (B, channels, H, W); every patch of each counts.
        side: of a patch in pixels.

    Source: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, after Page's ResNet-9.
    """
    count, total, products = 0, torch.zeros(()), torch.zeros(())
    for batch in images:
        channels = batch.shape[1]
        patches = F.unfold(batch.cpu().double(), side).transpose(1, 2).flatten(0, 1)
        count, total, products = count + len(patches), total + patches.sum(dim=0), products + patches.T @ patches
    mean = total / count
    values, vectors = torch.linalg.eigh(products / count - mean.outer(mean))
    rows = (vectors / (values.clamp(min=0) + FLOOR).sqrt()).T.flip(0).reshape(-1, channels, side, side)
    return torch.cat([rows, -rows]).float()
