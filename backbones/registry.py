"""The registry of backbones and what each must state."""

from torch import nn

from headbench.core.registry import Registry


class Backbone(nn.Module):
    """Maps images (B, channels, H, W) to pooled features (B, num_features); takes ``(image_shape, *, options...)``."""

    num_features: int


BACKBONES: Registry[type[Backbone]] = Registry("backbone")
register = BACKBONES.register
