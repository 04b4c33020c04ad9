"""Batched augmentation equals torchvision's transforms, image by image."""

import numpy as np
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st

from headbench.core.streams import generator
from headbench.data.loading.augment import Augmentation, cutout, normalise, pad_crop_flip
from headbench.data.loading.views.weak import weak


@settings(max_examples=40, deadline=None)
@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    pad=st.integers(0, 5),
    seed=st.integers(0, 999),
)
def test_equals_torchvision(channels: int, height: int, width: int, pad: int, seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (6, channels, height, width), generator=stream, dtype=torch.uint8)
    top, left = torch.randint(0, 2 * pad + 1, (2, 6), generator=stream)
    flip = torch.rand(6, generator=stream) < 0.5
    ours = pad_crop_flip(images, pad, top, left, flip)
    for i, image in enumerate(images):
        expected = tv.crop(tv.pad(image, [pad]), int(top[i]), int(left[i]), height, width)
        assert torch.equal(ours[i], tv.horizontal_flip(expected) if flip[i] else expected)


def offsets_and_flips(augmentation: Augmentation, count: int = 5000) -> torch.Tensor:
    """What the weak view does to images whose pixels name their place: (count, 3) of top, left and flip."""
    ramp = torch.arange(100, dtype=torch.uint8).reshape(1, 1, 10, 10).expand(count, 1, 10, 10)
    statistics = (torch.tensor([0.0]), torch.tensor([1.0]))
    shown = weak(count, augmentation, statistics, (1, 10, 10), generator(0, "test"))(ramp, slice(0, count))[:, 0] * 255
    middle = shown[:, 5, 4:6].round().long()  # two neighbours that no padding of 4 can reach
    flip = middle[:, 0] > middle[:, 1]
    first = torch.where(flip, middle[:, 1], middle[:, 0])
    return torch.stack([first // 10 - 5, first % 10 - 4, flip.long()], dim=1)


def test_every_image_has_draws_of_its_own_and_all_offsets_occur() -> None:
    draws = offsets_and_flips(Augmentation(pad=4, flip=True)).double()
    for place in (0, 1):
        assert draws[:, place].unique().tolist() == list(range(-4, 5))
    assert 0.45 < draws[:, 2].mean() < 0.55
    assert abs(torch.corrcoef(draws.T)[0, 1:]).max() < 0.05


def test_without_flip_nothing_is_flipped() -> None:
    assert not offsets_and_flips(Augmentation(pad=0, flip=False), 1000).any()


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), side=st.integers(1, 6), seed=st.integers(0, 999))
def test_cutout_clears_exactly_the_square_around_its_centre(height: int, width: int, side: int, seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    images = torch.randn(5, 2, height, width, generator=stream)
    row, column = torch.randint(0, height, (5,), generator=stream), torch.randint(0, width, (5,), generator=stream)
    fill = torch.randn(2, generator=stream)
    expected = images.clone()
    for i in range(5):
        top, left = int(row[i]) - side // 2, int(column[i]) - side // 2
        expected[i, :, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = fill[:, None, None]
    assert torch.equal(cutout(images, side, row, column, fill), expected)


def test_normalise_equals_torchvision() -> None:
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    mean, std = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    expected = tv.normalize(images.float() / 255, mean, std)
    assert torch.allclose(normalise(images, torch.tensor(mean), torch.tensor(std)), expected, atol=1e-5)


def test_the_hole_of_cutout_is_centred_at_every_pixel() -> None:
    """So that those at the border are smaller (DeVries & Taylor, 2017)."""
    ones, side, length = torch.ones(1), 8, 4
    images = torch.full((4000, 1, side, side), 255.0)
    show = weak(
        4000, Augmentation(cutout=length, cutout_fill="black"), (0 * ones, ones), (1, side, side), generator(0, "test")
    )
    holes = (show(images, slice(0, 4000))[:, 0] == 0).numpy()
    possible = [set(range(max(centre - 2, 0), min(centre + 2, side))) for centre in range(side)]
    for axis in (1, 2):
        found = [set(np.flatnonzero(hole).tolist()) for hole in np.asarray(holes.any(axis=3 - axis))]
        counts = [found.count(one) for one in possible]
        assert sum(counts) == 4000
        assert all(abs(count - 500) < 110 for count in counts)


def test_cutout_reaches_every_pixel_of_a_wide_image() -> None:
    ones, shape = torch.ones(1), (1, 6, 10)
    show = weak(2000, Augmentation(cutout=1, cutout_fill="black"), (0 * ones, ones), shape, generator(0, "test"))
    holes = show(torch.full((2000, *shape), 255.0), slice(0, 2000))[:, 0] == 0
    assert (holes.sum(dim=(1, 2)) == 1).all()
    assert holes.any(dim=0).all()
