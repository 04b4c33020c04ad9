"""Any image model of the timm library as a backbone, randomly initialised."""

from typing import Annotated, Any

from pydantic import AfterValidator
from torch import Tensor

from headbench.backbones.registry import Backbone, register
from headbench.core.errors import suggest


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
    source="Wightman, PyTorch Image Models; timm.create_model(model, pretrained=False, num_classes=0)",
)
class TimmBackbone(Backbone):
    """A timm model without its classifier, pooled as the model does.

    Args:
        image_shape: (channels, height, width); height = width.
        model: timm's name of the architecture, such as ``resnet50``, ``resnet101`` or ``swin_tiny_patch4_window7_224``.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], *, model: Annotated[str, AfterValidator(_known)] = "resnet50"
    ) -> None:
        import timm

        super().__init__()
        network: Any = timm.create_model(model, pretrained=False, num_classes=0, in_chans=image_shape[0])
        if hasattr(network, "set_input_size"):
            network.set_input_size(img_size=image_shape[1:])
        self.model = network
        self.num_features = int(getattr(network, "head_hidden_size", network.num_features))

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, channels, H, W) to features (B, num_features)."""
        features: Tensor = self.model(images)
        return features
