"""The views of files against torchvision's and timm's own transforms, put together here, with the same draws."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import rand_augment_transform
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch import Tensor
from torchvision import transforms as tv

from headbench.data.loading.augment import Augmentation
from headbench.data.loading.views import FILE_VIEWS

# Unlike those of ImageNet, which timm takes where it is told nothing.
STATISTICS = (0.1, 0.25, 0.4), (0.5, 0.3, 0.2)
SIDE = 32


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8))


def ramp() -> Image.Image:
    """Brighter from left to right."""
    row = np.linspace(30, 220, 64).round().astype(np.uint8)
    return Image.fromarray(np.broadcast_to(row[None, :, None], (64, 64, 3)).copy())


def seeded(transform: Any, image: Image.Image, seed: int) -> Tensor:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    found: Tensor = transform(image)
    return found


def view(name: str, **changes: Any) -> Any:
    return FILE_VIEWS.get(name).target(Augmentation(**changes), SIDE, STATISTICS)


def rising(shown: Tensor) -> bool:
    return bool(shown[0, :, -1].mean() > shown[0, :, 0].mean())


@pytest.mark.parametrize(("name", "smallest"), [("simclr", 0.08), ("supcon", 0.2)])
def test_the_contrasted_views_are_torchvisions(name: str, smallest: float) -> None:
    """Crop, mirror, jitter of eight in ten, grey of one in five, normalisation."""
    for flip in (True, False):
        expected = tv.Compose(
            [
                tv.RandomResizedCrop(SIDE, scale=(smallest, 1.0)),
                tv.RandomHorizontalFlip(0.5 if flip else 0.0),
                tv.RandomApply([tv.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
                tv.RandomGrayscale(0.2),
                tv.ToTensor(),
                tv.Normalize(*STATISTICS),
            ]
        )
        for seed in range(20):
            assert torch.equal(seeded(view(name, flip=flip), noise(), seed), seeded(expected, noise(), seed))


def middle(size: int, changes: dict[str, Any]) -> Any:
    """What stands between crop and normalisation of the view to classify."""
    if changes.get("policy") == "trivial":
        return tv.TrivialAugmentWide()
    if changes.get("policy"):
        mean = tuple(min(255, round(255 * value)) for value in STATISTICS[0])
        given = {"translate_const": int(size * 0.45), "img_mean": mean, "interpolation": Image.Resampling.BICUBIC}
        return rand_augment_transform(changes["policy"], given)
    strength = changes.get("color_jitter", 0)
    return tv.ColorJitter(strength, strength, strength) if strength else tv.Compose([])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"flip": True},
        {"color_jitter": 0.4},
        {"policy": "trivial"},
        {"policy": "rand-m9-mstd0.5-inc1"},
        {"flip": True, "color_jitter": 0.4, "random_erasing": 0.5},
    ],
    ids=str,
)
def test_the_view_to_classify_is_timms(changes: dict[str, Any]) -> None:
    """Random resized crop of 8 to 100 %, mirror, policy or jitter, normalisation, erasing."""
    parts = [
        RandomResizedCropAndInterpolation(SIDE, scale=(0.08, 1.0), interpolation="bicubic"),
        *([tv.RandomHorizontalFlip(0.5)] if changes.get("flip") else []),
        middle(SIDE, changes),
        tv.ToTensor(),
        tv.Normalize(*STATISTICS),
        *([RandomErasing(changes["random_erasing"], device="cpu")] if "random_erasing" in changes else []),
    ]
    shown = view("weak", **changes)
    for seed in range(20):
        assert torch.allclose(seeded(shown, noise(), seed), seeded(tv.Compose(parts), noise(), seed), atol=1e-6)


@pytest.mark.parametrize("name", ["weak", "plain"])
def test_one_colour_is_normalised_by_the_data_sets_own_statistics(name: str) -> None:
    image = Image.new("RGB", (50, 40), (200, 100, 50))
    mean, std = (torch.tensor(values) for values in STATISTICS)
    expected = ((torch.tensor([200.0, 100.0, 50.0]) / 255 - mean) / std)[:, None, None].expand(3, SIDE, SIDE)
    assert torch.allclose(seeded(view(name), image, 0), expected, atol=1e-5)


@pytest.mark.parametrize(("flip", "low", "high"), [(False, 100, 100), ("alternating", 100, 100), (True, 35, 65)])
def test_a_view_mirrors_half_of_the_files_only_where_no_epoch_does(flip: Any, low: int, high: int) -> None:
    shown = view("weak", flip=flip)
    assert low <= sum(rising(seeded(shown, ramp(), seed)) for seed in range(100)) <= high


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-inc1", "v0"])
def test_no_draw_of_a_policy_ends_a_training(policy: str) -> None:
    """Of these seeds some posterise to no bits, which Pillow refuses."""
    shown = view("weak", policy=policy)
    for seed in (8, 50, 483):
        assert torch.isfinite(seeded(shown, noise(), seed)).all()
