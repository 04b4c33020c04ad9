"""Batched augmentation equals torchvision's transforms, image by image."""

import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st

from core.random import generator
from data.augment import Augmentation, normalise, pad_crop_flip, weak_draws


@settings(max_examples=40, deadline=None)
@given(channels=st.integers(1, 3), height=st.integers(1, 12), width=st.integers(1, 12), pad=st.integers(0, 5), seed=st.integers(0, 999))
def test_equals_torchvision(channels: int, height: int, width: int, pad: int, seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (6, channels, height, width), generator=stream, dtype=torch.uint8)
    top, left = torch.randint(0, 2 * pad + 1, (2, 6), generator=stream)
    flip = torch.rand(6, generator=stream) < 0.5
    ours = pad_crop_flip(images, pad, top, left, flip)
    for i, image in enumerate(images):
        expected = tv.crop(tv.pad(image, [pad]), int(top[i]), int(left[i]), height, width)
        assert torch.equal(ours[i], tv.horizontal_flip(expected) if flip[i] else expected)


def test_every_image_has_draws_of_its_own_and_all_offsets_occur() -> None:
    draws = weak_draws(5000, Augmentation(pad=4, flip=True), generator(0, "test"), torch.device("cpu"))
    for offsets in (draws.top, draws.left):
        assert offsets.unique().tolist() == list(range(9))
    assert 0.45 < draws.flip.double().mean() < 0.55
    assert abs(torch.corrcoef(torch.stack([draws.top.double(), draws.left.double(), draws.flip.double()]))[0, 1:]).max() < 0.05


def test_without_flip_nothing_is_flipped() -> None:
    assert not weak_draws(1000, Augmentation(pad=0, flip=False), generator(0, "test"), torch.device("cpu")).flip.any()


def test_normalise_equals_torchvision() -> None:
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    mean, std = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    expected = tv.normalize(images.float() / 255, mean, std)
    assert torch.allclose(normalise(images, torch.tensor(mean), torch.tensor(std)), expected, atol=1e-5)
