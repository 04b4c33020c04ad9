"""The registry of backbones and what each must state."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from headbench.core.registry import Registry


class Backbone(nn.Module):
    """Maps images (B, channels, H, W) to pooled features (B, num_features); takes ``(image_shape, *, options...)``."""

    num_features: int

    def prepare(self, images: Iterable[Tensor]) -> None:
        """See some training images once, before training begins without weights that were trained before.

        What is made of them lies in the ``state_dict``, and depends on nothing but them.

        Args:
            images: batches (B, channels, H, W), normalised and not augmented, the same for every head.
        """

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> dict[str, Path]:
        """Return the files that options name, by option: a cell is known by what is in them, not by where they are."""
        return {"weights": Path(options["weights"])} if options.get("weights") else {}


BACKBONES: Registry[type[Backbone]] = Registry("backbone")
register = BACKBONES.register
