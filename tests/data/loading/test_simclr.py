"""Contrastive views: crops and colours equal torchvision's of one image, each image with draws of its own."""

from pathlib import Path

import pytest
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from headbench.core.streams import generator
from headbench.data import FileSet
from headbench.data.loading import colours
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.choices import Choices
from headbench.data.loading.crops import draw_boxes, resized_crop
from headbench.data.loading.epoch import Epoch, batches
from headbench.data.loading.streamed import Streamed
from headbench.data.loading.views import VIEWS
from headbench.data.loading.views.simclr import draw_jitter, jitter
from tests.data.helpers import random_images, save

# Of pixels from 0 to 1, a thousandth of a grey level of 255: float32, with the operations in another order.
TOLERANCE = 4e-6
FLIPPED = Augmentation(flip=True)


def pixels(count: int, channels: int = 3, side: int = 12, seed: int = 0) -> Tensor:
    """Images of all kinds of colours: noise, smooth ones, grey ones, black, white and one colour everywhere."""
    stream = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, side, side), generator=stream, dtype=torch.uint8)
    images[1::4] = images[1::4, :1]
    images[2::4] //= 64
    images[3::8] = images[3::8, :, :1, :1]
    images[4], images[5] = 0, 255
    return images


@settings(max_examples=30, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    # From 2 on: of images of one column torch 2.14 gives the first pixel everywhere where it scales them antialiased.
    height=st.integers(2, 14),
    width=st.integers(2, 14),
    smallest=st.floats(0.05, 1),
    seed=st.integers(0, 999),
)
def test_crops_equal_torchvision(channels: int, height: int, width: int, smallest: float, seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (6, channels, height, width), generator=stream, dtype=torch.uint8)
    boxes = draw_boxes(6, height, width, smallest, stream)
    flip = torch.rand(6, generator=stream) < 0.5
    ours = resized_crop(images, boxes, flip)
    for i, image in enumerate(images):
        expected = tv.resized_crop(image.float() / 255, *boxes[:, i].tolist(), [height, width])
        assert torch.allclose(ours[i] / 255, expected.flip(-1) if flip[i] else expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("height", "width", "smallest"), [(32, 32, 0.08), (8, 40, 0.5), (40, 8, 0.5)])
def test_boxes_are_distributed_as_torchvisions(height: int, width: int, smallest: float) -> None:
    ours = draw_boxes(1500, height, width, smallest, generator(0, "test")).double()
    torch.manual_seed(0)
    image = torch.empty(3, height, width)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(image, (smallest, 1.0), (3 / 4, 4 / 3)) for _ in range(1500)], dtype=torch.double
    ).T
    for one, other in zip(ours, theirs, strict=True):
        error = ((one.var() + other.var()) / 1500).sqrt()
        assert abs(one.mean() - other.mean()) <= 4 * error
        for quantile in (0.0, 0.1, 0.5, 0.9, 1.0):
            assert abs(one.quantile(quantile) - other.quantile(quantile)) <= 1 + 0.04 * max(height, width)
    top, left, tall, wide = ours
    assert (tall > 0).all()
    assert (wide > 0).all()
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + tall).max() <= height
    assert (left + wide).max() <= width
    if height == width:
        for start, length in ((top, tall), (left, wide)):
            inside = length < height
            assert start[inside].min() == 0
            assert (start + length)[inside].max() == height


@pytest.mark.parametrize("channels", [1, 3])
def test_changes_of_colour_equal_torchvision(channels: int) -> None:
    images = pixels(40, channels)
    factors = 0.2 + 2 * torch.rand(40, generator=torch.Generator().manual_seed(1))
    shift = torch.rand(40, generator=torch.Generator().manual_seed(2)) - 0.5
    for ours, theirs, amounts in (
        (colours.brightness, tv.adjust_brightness, factors),
        (colours.contrast, tv.adjust_contrast, factors),
        (colours.saturation, tv.adjust_saturation, factors),
        (colours.hue, tv.adjust_hue, shift),
    ):
        done = ours(images.float(), amounts) / 255
        for i, image in enumerate(images):
            expected = theirs(image.float() / 255, amounts[i].item())
            assert torch.allclose(done[i], expected, rtol=0, atol=TOLERANCE), (theirs, i)
    grey = tv.rgb_to_grayscale(images.float() / 255)
    assert torch.allclose(colours.greyscale(images.float()) / 255, grey, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_equals_torchvisions_in_the_order_of_each_image(channels: int) -> None:
    images = pixels(60, channels)
    rounds, factors = draw_jitter(60, generator(0, "test"))
    done = jitter(images.float(), [Choices.on(images.device, each) for each in rounds], factors) / 255
    changes = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
    for i, image in enumerate(images):
        expected = image.float() / 255
        for change in rounds[:, i].tolist():
            expected = changes[change](expected, factors[change, i].item()) if change < 4 else expected
        assert torch.allclose(done[i], expected, rtol=0, atol=TOLERANCE)


def test_jitter_is_drawn_as_torchvision_draws_it() -> None:
    rounds, factors = draw_jitter(20_000, generator(0, "test"))
    jittered = rounds[0] < 4
    assert abs(jittered.double().mean() - 0.8) < 0.01
    assert (rounds[:, ~jittered] == 4).all()
    assert (rounds[:, jittered].sort(dim=0).values == torch.arange(4)[:, None]).all()
    orders = (rounds[:, jittered].T * torch.tensor([64, 16, 4, 1])).sum(dim=1).unique(return_counts=True)[1]
    assert len(orders) == 24
    assert abs(orders / orders.sum() * 24 - 1).max() < 0.2
    for amounts, (low, high) in zip(factors, [(0.6, 1.4)] * 3 + [(-0.1, 0.1)], strict=True):
        assert low <= amounts.min() < low + 0.01 * (high - low)
        assert high >= amounts.max() > high - 0.01 * (high - low)
        assert abs(amounts.mean() - (low + high) / 2) < 0.01 * (high - low)
    assert abs(torch.corrcoef(factors) - torch.eye(4)).max() < 0.03


def shown(name: str, images: Tensor, batch: int, seed: int = 0, augmentation: Augmentation = FLIPPED) -> Tensor:
    """All images of an epoch, in batches of that size, from 0 to 1."""
    count, channels, height, width = images.shape
    statistics = torch.full((channels,), 0.0), torch.full((channels,), 1.0)
    show = VIEWS.get(name).target(count, augmentation, statistics, (channels, height, width), generator(seed, "test"))
    return torch.cat(
        [show(images[start : start + batch], slice(start, start + batch)) for start in range(0, count, batch)]
    )


@pytest.mark.parametrize("name", ["simclr", "supcon"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_view_is_float_of_the_same_size_and_the_number_of_images_in_a_batch_changes_nothing(
    name: str, channels: int
) -> None:
    images = pixels(21, channels)
    whole = shown(name, images, 21)
    assert whole.shape == images.shape
    assert whole.dtype == torch.float32
    assert whole.min() >= 0
    assert whole.max() <= 1
    for batch in (1, 4):
        assert torch.equal(shown(name, images, batch), whole)
    assert not torch.equal(shown(name, images, 21, seed=1), whole)


def test_images_draw_for_themselves_and_a_fifth_are_grey() -> None:
    one = pixels(6, side=32)[:1].expand(1000, -1, -1, -1)
    views = shown("simclr", one, 1000)
    assert len(views.flatten(1).unique(dim=0)) > 980, "a crop of the same box may go without any change of colour"
    assert abs((views[:, :1] == views).flatten(1).all(dim=1).double().mean() - 0.2) < 0.04


@pytest.mark.parametrize(("flip", "expected"), [(True, 0.5), (False, 0.0)])
def test_half_are_mirrored_where_the_recipe_flips(flip: bool, expected: float) -> None:
    ramp = torch.arange(0, 240, 10, dtype=torch.uint8).expand(2000, 3, 24, 24)
    views = shown("simclr", ramp, 2000, augmentation=Augmentation(flip=flip))
    falling = views[:, 0, :, 0].mean(dim=1) > views[:, 0, :, -1].mean(dim=1)
    assert abs(falling.double().mean() - expected) < 0.04


def test_the_two_views_differ_in_the_smallest_crop_only() -> None:
    ramp = torch.arange(0, 240, 8, dtype=torch.uint8).expand(2000, 1, 30, 30)
    for name, smallest in (("simclr", 0.08), ("supcon", 0.2)):
        boxes = draw_boxes(2000, 30, 30, smallest, generator(0, "test"))
        expected = shown(name, ramp, 2000)
        crop = resized_crop(ramp, boxes, torch.zeros(2000, dtype=torch.bool)) / 255
        same = (expected - crop).abs().flatten(1).amax(dim=1) < 1e-5
        assert 0.05 < same.double().mean() < 0.15, "neither mirrored nor jittered: a half of a fifth"


def test_no_step_asks_the_device_for_a_value() -> None:
    """Tensors on torch's device ``meta`` have none."""
    images, ones = torch.empty(64, 3, 16, 16, dtype=torch.uint8, device="meta"), torch.ones(3, device="meta")
    show = VIEWS.get("simclr").target(64, FLIPPED, (ones, ones), (3, 16, 16), generator(0, "test"))
    assert show(images, slice(0, 64)).shape == images.shape


def test_files_are_shown_too(tmp_path: Path) -> None:
    for number, image in enumerate(random_images(4, 0, 40)):
        save(tmp_path / f"{number}.png", image)
    files = FileSet(tmp_path, tuple(f"{number}.png" for number in range(4)), torch.arange(4), 32)
    statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    part = Streamed.of(files, torch.arange(4), files.labels, statistics, torch.device("cpu"))
    epoch = Epoch(("simclr", "supcon"), FLIPPED, 4, False, "instance", 0, 0)
    (batch,), (again,) = batches(part, epoch), batches(part, epoch)
    assert batch.images.shape == (2, 4, 3, 32, 32)
    assert torch.equal(batch.images, again.images)
    assert not torch.equal(batch.images[0], batch.images[1])
    assert batch.images.abs().max() < 3


@pytest.mark.parametrize("name", ["simclr", "supcon"])
def test_a_view_is_normalised_by_the_statistics_of_the_data(name: str) -> None:
    images, mean, std = pixels(12), torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.25])
    show = VIEWS.get(name).target(12, FLIPPED, (mean, std), (3, 12, 12), generator(0, "test"))
    expected = (shown(name, images, 12) - mean[:, None, None]) / std[:, None, None]
    assert torch.allclose(show(images, slice(0, 12)), expected, atol=1e-5)
