"""The registry of backbones and what each must state."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from headbench.core.registry import Registry


class Backbone(nn.Module):
    """Maps images (B, channels, H, W) to pooled features (B, num_features); takes ``(image_shape, *, options...)``."""

    num_features: int

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> dict[str, Path]:
        """Return the files that options name, by option: a cell is known by what is in them, not by where they are."""
        return {"weights": Path(options["weights"])} if options.get("weights") else {}


BACKBONES: Registry[type[Backbone]] = Registry("backbone")
register = BACKBONES.register
