"""The registry of backbones and what each must state."""

from typing import Protocol

from torch import Tensor, nn

from core.registry import Registry


class Backbone(Protocol):
    """Maps images (B, channels, H, W) to pooled features (B, num_features)."""

    num_features: int

    def __call__(self, images: Tensor) -> Tensor: ...


BACKBONES: Registry[type[nn.Module]] = Registry("backbone")
register = BACKBONES.register
