"""The classifier: backbone, projection and head in one module."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from headbench.backbones import BACKBONES
from headbench.core.batch import Batch, DataInfo
from headbench.core.streams import derive
from headbench.heads import HEADS, Context, Head
from headbench.runners.grid.config import Cell

PARTS = ("backbone", "projection", "head")


class Classifier(nn.Module):
    """Images to loss or scores.

    The backbone runs under autocast where ``bf16`` is on; projection and head always compute in float32.

    Args:
        backbone: images (B, channels, H, W) to (B, num_features).
        projection: (B, num_features) to (B, d).
        head: the classifier head.
        bf16: autocast the backbone to bfloat16.
    """

    def __init__(self, backbone: nn.Module, projection: nn.Module, head: Head, *, bf16: bool = False) -> None:
        super().__init__()
        self.backbone, self.projection, self.head, self.bf16 = backbone, projection, head, bf16

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, channels, H, W) to features (B, d), float32."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            pooled: Tensor = self.backbone(images.contiguous(memory_format=torch.channels_last))
        features: Tensor = self.projection(pooled.float())
        return features

    def forward(self, batch: Batch, context: Context) -> Tensor:
        """Return the loss of a batch, a scalar; the head observes the features first."""
        views = batch.images.shape[:2]
        features = self.features(batch.images.flatten(0, 1)).reshape(*views, -1)
        with torch.no_grad():
            self.head.observe(features.detach(), batch.targets, context)
        return self.head.loss(features, batch.targets, context)

    def set_trainable(self, parts: Iterable[str]) -> None:
        """Put the named parts into training mode; freeze the others in eval mode."""
        for name in PARTS:
            part = getattr(self, name)
            part.train(name in parts)
            part.requires_grad_(name in parts)


def build(cell: Cell, info: DataInfo, *, bf16: bool) -> Classifier:
    """Return a cell's classifier on the CPU, each part initialised from its own stream of the cell's seed.

    So for one seed every head gets the same backbone, and for one seed and d the same projection.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(cell.seed, "backbone"))
        backbone = BACKBONES.get(cell.backbone).target(info.image_shape, **cell.backbone_options)
        torch.manual_seed(derive(cell.seed, "projection"))
        projection = (
            nn.Linear(backbone.num_features, cell.feature_dim) if cell.projection == "linear" else nn.Identity()
        )
        torch.manual_seed(derive(cell.seed, "head"))
        head = HEADS.get(cell.head).target(info, cell.feature_dim, **cell.head_options)
    return Classifier(backbone, projection, head, bf16=bf16).to(memory_format=torch.channels_last)


def unsupported(cell: Cell, info: DataInfo) -> str | None:
    """Return why a cell does not apply, or None where it does."""
    if cell.projection == "none":
        with torch.device("meta"):
            width = BACKBONES.get(cell.backbone).target(info.image_shape, **cell.backbone_options).num_features
        if width != cell.feature_dim:
            return f"without a projection d must equal the backbone's {width} features"
    return HEADS.get(cell.head).target.supports(info, cell.feature_dim, **cell.head_options)
