"""Every backbone takes any small image; ResNet-32 has the published size."""

import pytest
import torch

from headbench.backbones import BACKBONES
from headbench.backbones.resnet_cifar import SHORTCUTS, ResNet32
from headbench.core.errors import UserError


@pytest.mark.parametrize("name", BACKBONES.names())
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 64, 64), (3, 96, 96), (4, 13, 17)])
def test_any_size_and_channels(name: str, shape: tuple[int, int, int]) -> None:
    backbone = BACKBONES.get(name).target(shape)
    features = backbone(torch.randn(2, *shape))
    assert features.shape == (2, backbone.num_features)
    features.sum().backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in backbone.parameters())


def test_fast_convnet_widths() -> None:
    backbone = BACKBONES.get("fast_convnet").target((3, 32, 32), widths=(4, 6, 10))
    assert backbone.num_features == 10
    assert [module.out_channels for module in backbone.modules() if isinstance(module, torch.nn.Conv2d)] == [
        4,
        4,
        6,
        6,
        10,
        10,
    ]


@pytest.mark.parametrize(
    ("shortcut", "width", "features"), [("A", 16, 64), ("A", 32, 128), ("conv3x3", 16, 64), ("conv3x3", 32, 128)]
)
def test_resnet32_has_32_layers_and_the_width(shortcut: str, width: int, features: int) -> None:
    backbone = BACKBONES.get("resnet32").target((3, 32, 32), shortcut=shortcut, width=width)
    main_path = [
        name
        for name, module in backbone.named_modules()
        if isinstance(module, torch.nn.Conv2d) and "shortcut" not in name
    ]
    assert len(main_path) == 31  # and the linear layer after it
    assert backbone.num_features == features


def test_resnet32_parameters_are_the_published_0_46_million() -> None:
    """He et al., 2016, table 6: 0.46 M with option A, the last linear layer (64 x 10 + 10) included."""
    parameters = sum(p.numel() for p in ResNet32((3, 32, 32), shortcut="A").parameters()) + 650
    assert round(parameters / 1e6, 2) == 0.46


def test_shortcut_a_subsamples_and_pads_with_zeros() -> None:
    x = torch.randn(2, 4, 6, 6)
    y = SHORTCUTS["A"](4, 8)(x)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert torch.all(y[:, :2] == 0)
    assert torch.all(y[:, 6:] == 0)


@pytest.mark.parametrize(
    ("model", "side", "width"), [("resnet18", 32, 512), ("resnet50", 64, 2048), ("vit_tiny_patch16_224", 64, 192)]
)
def test_timm_models_are_backbones_at_any_size_they_can_take(model: str, side: int, width: int) -> None:
    backbone = BACKBONES.get("timm").target((3, side, side), model=model)
    assert backbone.num_features == width
    assert backbone.eval()(torch.randn(2, 3, side, side)).shape == (2, width)


@pytest.mark.parametrize(("side", "nearest"), [(30, 32), (39, 32), (41, 48), (5, 16)])
def test_patches_that_would_leave_a_strip_unseen_are_refused(side: int, nearest: int) -> None:
    with torch.device("meta"), pytest.raises(UserError, match=rf"patches of 16 pixels, .* give it size: {nearest}$"):
        BACKBONES.get("timm").target((3, side, side), model="vit_tiny_patch16_224")
    backbone = BACKBONES.get("timm").target((3, side, side), model="vit_tiny_patch16_224", size=nearest)
    image = torch.zeros(1, 3, side, side, requires_grad=True)
    backbone.eval()(image).square().sum().backward()
    assert image.grad is not None
    assert (image.grad[0].abs().sum(dim=0) > 0).all()


def test_the_timm_models_of_the_imagenet_grid_state_their_width() -> None:
    with torch.device("meta"):
        for model, width in (("resnet50", 2048), ("resnet101", 2048), ("swin_tiny_patch4_window7_224", 768)):
            assert BACKBONES.get("timm").target((3, 224, 224), model=model).num_features == width
