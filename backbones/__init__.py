"""Backbones: from images to pooled features, one file a family.

Each takes ``(image_shape, *, options...)`` and states ``num_features``.
"""

from headbench.backbones.registry import BACKBONES, Backbone, register
from headbench.core.registry import discover

discover(__name__, list(__path__))

__all__ = ["BACKBONES", "Backbone", "register"]
