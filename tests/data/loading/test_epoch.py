"""One plan of an epoch for all kinds of data: a view or a sampler that is registered serves them all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from headbench.core.batch import Portion
from headbench.data import FileSet
from headbench.data.loading.augment import Augmentation, normalise
from headbench.data.loading.epoch import Epoch, Part, batches
from headbench.data.loading.resident import Resident
from headbench.data.loading.samplers import SAMPLERS
from headbench.data.loading.streamed import Streamed
from headbench.data.loading.views import VIEWS, Show
from tests.data.helpers import random_images, save

COUNT, SIDE, CROPPED = 9, 48, 42
STATISTICS = ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


def brighter(
    count: int,
    augmentation: Augmentation,
    statistics: tuple[Tensor, Tensor],
    shape: tuple[int, int, int],
    stream: torch.Generator,
) -> Show:
    """Each image with an offset of its own."""
    offsets = torch.rand(count, generator=stream)
    return lambda images, chosen: normalise(images, *statistics) + offsets[chosen][:, None, None, None]


def backwards(labels: Tensor, stream: torch.Generator) -> Tensor:
    """The last image first."""
    return torch.arange(len(labels)).flip(0)


@pytest.fixture
def _registered() -> Iterator[None]:
    VIEWS.register("brighter", version=1)(brighter)
    SAMPLERS.register("backwards", version=1)(backwards)
    yield
    VIEWS.unregister("brighter")
    SAMPLERS.unregister("backwards")


@pytest.fixture
def pixels() -> Tensor:
    """What is shown of the images: (COUNT, 3, CROPPED, CROPPED) uint8."""
    edge = (SIDE - CROPPED) // 2
    whole = torch.from_numpy(random_images(COUNT, 0, SIDE)).permute(0, 3, 1, 2)
    return whole[..., edge : edge + CROPPED, edge : edge + CROPPED].contiguous()


@pytest.fixture(params=["resident", "streamed"])
def part(request: pytest.FixtureRequest, tmp_path: Path, pixels: Tensor) -> Part:
    """The same images in memory, and as larger files of which a middle part is shown."""
    labels, device = torch.arange(COUNT) % 3, torch.device("cpu")
    if request.param == "resident":
        return Resident.of(pixels, torch.arange(COUNT), labels, STATISTICS, device)
    for number, image in enumerate(random_images(COUNT, 0, SIDE)):
        save(tmp_path / f"{number}.png", image)
    files = FileSet(tmp_path, tuple(f"{number}.png" for number in range(COUNT)), labels, CROPPED)
    return Streamed.of(files, torch.arange(COUNT), labels, STATISTICS, device)


def epoch(*views: str, sampler: str = "instance", number: int = 0, mixup: float = 0.0) -> Epoch:
    return Epoch(views, Augmentation(mixup=mixup), 4, False, sampler, seed=0, number=number)


def offsets(part: Part, pixels: Tensor, epoch: Epoch) -> list[float]:
    """How much brighter the second view of each image is, in the order of the part."""
    mean, std = (torch.tensor(values) for values in STATISTICS)
    found = {}
    for batch in batches(part, epoch):
        for image, index in zip(batch.images[1], batch.targets.indices.tolist(), strict=True):
            difference = image - normalise(pixels[index], mean, std)
            assert difference.std() < 1e-5, "not the image with one offset"
            found[index] = difference.mean().item()
    return [found[index] for index in range(COUNT)]


@pytest.mark.usefixtures("_registered")
def test_a_registered_view_is_shown_of_all_data_with_draws_of_its_own(part: Part, pixels: Tensor) -> None:
    first, again = (offsets(part, pixels, epoch("weak", "brighter")) for _ in range(2))
    other = offsets(part, pixels, epoch("weak", "brighter", number=1))
    assert first == again
    assert all(0 <= value < 1 for value in first)
    assert len({round(value, 4) for value in first + other}) == 2 * COUNT


@pytest.mark.usefixtures("_registered")
def test_a_registered_sampler_orders_all_data(part: Part) -> None:
    seen = [batch.targets.indices for batch in batches(part, epoch("plain", sampler="backwards"))]
    assert torch.cat(seen).tolist() == list(range(COUNT))[::-1]
    assert [len(indices) for indices in seen] == [4, 4, 1]


def test_the_order_is_the_same_for_all_data(part: Part, pixels: Tensor) -> None:
    resident = Resident.of(pixels, torch.arange(COUNT), torch.arange(COUNT) % 3, STATISTICS, torch.device("cpu"))
    for sampler in ("instance", "class_balanced"):
        orders = [
            torch.cat([batch.targets.indices for batch in batches(each, epoch("plain", sampler=sampler, number=5))])
            for each in (part, resident)
        ]
        assert torch.equal(*orders)


def test_only_the_first_view_is_mixed(part: Part) -> None:
    mixed, whole = (list(batches(part, epoch("plain", "plain", mixup=mixup))) for mixup in (1.0, 0.0))
    for one, other in zip(mixed, whole, strict=True):
        assert torch.equal(one.images[1], other.images[1])
        (_, weight), (labels, rest) = one.targets.pairs
        partner = (one.images[0] - weight * other.images[0]) / rest
        assert all(min((image - each).abs().max() for each in other.images[0]) < 1e-3 for image in partner)
        assert sorted(labels.tolist()) == sorted(other.targets.labels.tolist())


@pytest.mark.parametrize("mixing", [{}, {"mixup": 1.0}, {"cutmix": 1.0, "flip": "alternating"}])
def test_the_portions_of_a_batch_are_the_batch(part: Part, mixing: dict[str, Any]) -> None:
    whole = replace(epoch("weak", "plain"), augmentation=Augmentation(**mixing))
    if isinstance(part, Streamed) and "cutmix" in mixing:
        return  # readers are slow to start
    shared = [batches(part, replace(whole, portion=Portion(rank, 3)), 1) for rank in range(3)]
    for one, *portions in zip(batches(part, whole, 1), *shared, strict=True):
        images = torch.cat([portion.images for portion in portions], dim=1)
        assert torch.equal(images[:, : one.images.shape[1]], one.images)
        assert all(torch.equal(portion.targets.labels, one.targets.labels) for portion in portions)
        for portion in portions:
            for (labels, weight), (expected, expected_weight) in zip(
                portion.targets.pairs, one.targets.pairs, strict=True
            ):
                assert torch.equal(labels, expected)
                assert torch.equal(weight, expected_weight)


def test_a_part_is_taken_by_positions(part: Part) -> None:
    whole, rows = torch.cat(list(part.plain_batches())), torch.tensor([8, 0, 3])
    few = part.taken(rows)
    assert torch.equal(torch.cat(list(few.plain_batches())), whole[rows])
    assert torch.equal(few.labels, part.labels[rows])


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("change", [{"seed": 1}, {"number": 1}])
def test_seed_and_epoch_decide_what_is_drawn_and_mixed(part: Part, pixels: Tensor, change: dict[str, Any]) -> None:
    asked, mixing = epoch("weak", "brighter"), epoch("plain", mixup=1.0)
    drawn = [{round(value, 4) for value in offsets(part, pixels, one)} for one in (asked, replace(asked, **change))]
    assert drawn[0].isdisjoint(drawn[1])
    weights = [
        {batch.targets.pairs[0][1].item() for batch in batches(part, one)}
        for one in (mixing, replace(mixing, **change))
    ]
    assert weights[0].isdisjoint(weights[1])
