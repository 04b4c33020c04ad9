"""Any image model of the timm library as a backbone, randomly initialised or with weights that were trained before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import AfterValidator, FilePath, PositiveInt
from torch import Tensor

from headbench.backbones.registry import Backbone, register
from headbench.backbones.weights import load_weights, timm_weights
from headbench.core.errors import UserError, suggest


def _known(model: str) -> str:
    # Importing timm takes 1.6 s, which a process that uses none of its models is spared.
    import timm

    if model not in timm.list_models():
        near = timm.list_models(f"*{model.partition('_')[0]}*")
        raise ValueError(f"unknown timm model '{model}'; {suggest(model, near or ['resnet50'])[:300]}")
    return model


@register(
    "timm",
    version=1,
    source="Wightman, PyTorch Image Models; timm.create_model(model, num_classes=0)",
)
class TimmBackbone(Backbone):
    """A timm model without its classifier, pooled as the model does.

    Weights want images normalised as in their training: the recipe's ``normalisation`` says how, else images are
    normalised by the data set's own statistics.

    Args:
        image_shape: (channels, height, width); height = width.
        model: timm's name of the architecture, such as ``resnet50``, ``resnet101`` or ``swin_tiny_patch4_window7_224``.
        size: height and width that images are resized to (bilinear); by default as they are.
        weights: file of trained ones, under timm's names or the ``weights.pt`` of a finished cell.
        pretrained: take timm's own weights, which are fetched once.
    """

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> dict[str, Path]:
        """Return the file of the weights, of timm's own too.

        Raises:
            UserError: if two sources are named, or timm's own cannot be fetched.
        """
        named = super().files(options)
        if not options.get("pretrained"):
            return named
        if named:
            raise UserError("weights and pretrained are two sources of weights; give one of them")
        return {"pretrained": timm_weights(options["model"])}

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        model: Annotated[str, AfterValidator(_known)] = "resnet50",
        size: PositiveInt | None = None,
        weights: FilePath | None = None,
        pretrained: bool = False,
    ) -> None:
        import timm

        super().__init__()
        network: Any = timm.create_model(model, pretrained=False, num_classes=0, in_chans=image_shape[0])
        self.size = None if size is None else (size, size)
        _check_patches(network, self.size or image_shape[1:], model)
        if hasattr(network, "set_input_size"):
            network.set_input_size(img_size=self.size or image_shape[1:])
        classifiers = network.pretrained_cfg.get("classifier") or ()
        spare = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
        load_weights(network, timm_weights(model) if pretrained else weights, spare, within="backbone.model.")
        self.model = network
        self.num_features = int(getattr(network, "head_hidden_size", network.num_features))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, channels, H, W) to features (B, num_features)."""
        if self.size is not None:
            images = F.interpolate(images, size=self.size, mode="bilinear", antialias=True)
        features: Tensor = self.model(images)
        return features


def _check_patches(network: Any, sides: tuple[int, ...], model: str) -> None:
    """Raise UserError where whole patches leave a strip of the images that the network would never see."""
    patches = getattr(network, "patch_embed", None)
    steps = getattr(patches, "patch_size", None)
    if not isinstance(steps, tuple) or getattr(patches, "dynamic_img_pad", False):
        return
    for side, step in zip(sides, steps, strict=True):
        if side % step:
            raise UserError(
                f"model '{model}' sees patches of {step} pixels, and images of {side} are no whole number of them; "
                f"give it size: {max(1, round(side / step)) * step}"
            )
