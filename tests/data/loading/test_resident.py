"""The loader: every image once, the same batches for the same seed, views with draws of their own."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from headbench.core.batch import Batch
from headbench.core.streams import generator
from headbench.data.loading import resident
from headbench.data.loading.augment import Augmentation, normalise
from headbench.data.loading.epoch import Epoch, in_order
from headbench.data.loading.epoch import batches as drawn_batches
from headbench.data.loading.resident import EVAL_BATCH, Resident
from headbench.data.loading.samplers import SAMPLERS


def part(count: int = 50) -> Resident:
    """Images that carry their own position in every pixel."""
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 1, 4, 4).contiguous()
    return Resident(images, torch.arange(count), torch.arange(count) % 3, torch.tensor([0.5]), torch.tensor([0.25]))


def batches(**changes: Any) -> list[Batch]:
    settings: dict[str, Any] = {
        "views": ("weak",),
        "augmentation": Augmentation(pad=0, flip=True),
        "batch_size": 8,
        "drop_last": False,
        "sampler": "instance",
        "seed": 0,
        "number": 0,
    }
    return list(drawn_batches(part(), Epoch(**(settings | changes))))


def test_an_epoch_shows_every_image_once_with_its_own_label_and_index() -> None:
    seen = batches()
    assert [len(batch.targets.labels) for batch in seen] == [8] * 6 + [2]
    indices = torch.cat([batch.targets.indices for batch in seen])
    assert indices.sort().values.tolist() == list(range(50))
    for batch in seen:
        assert torch.equal(batch.targets.labels, batch.targets.indices % 3)
        pixels = normalise(
            batch.targets.indices.to(torch.uint8)[:, None, None, None], torch.tensor([0.5]), torch.tensor([0.25])
        )
        assert torch.allclose(batch.images[0], pixels.expand(-1, 1, 4, 4))
        assert [weight.item() for _, weight in batch.targets.pairs] == [1.0]


def test_drop_last() -> None:
    assert [len(batch.targets.labels) for batch in batches(drop_last=True)] == [8] * 6


@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_that_are_augmented_together_are_those_of_one_by_one(
    drop_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"views": ("weak", "weak"), "augmentation": Augmentation(2, True), "drop_last": drop_last}
    alone = batches(**asked)
    monkeypatch.setattr(resident, "_batches_together", lambda *_: 4)
    for one, other in zip(alone, batches(**asked), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets.indices, other.targets.indices)


@pytest.mark.parametrize("change", [{"seed": 1}, {"number": 1}])
def test_seed_and_epoch_decide_the_order(change: dict[str, Any]) -> None:
    first, again, other = batches(), batches(), batches(**change)
    assert all(
        torch.equal(a.images, b.images) and torch.equal(a.targets.indices, b.targets.indices)
        for a, b in zip(first, again, strict=True)
    )
    assert not torch.equal(torch.cat([b.targets.indices for b in first]), torch.cat([b.targets.indices for b in other]))


def test_views_differ_and_the_plain_one_is_not_augmented() -> None:
    ramp = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4).expand(50, 1, 4, 4).contiguous()
    ramps = Resident(ramp, torch.arange(50), part().labels, torch.tensor([0.0]), torch.tensor([1.0]))
    settings: dict[str, Any] = {
        "augmentation": Augmentation(2, True),
        "batch_size": 50,
        "drop_last": False,
        "sampler": "instance",
    }
    (batch,) = drawn_batches(ramps, Epoch(views=("weak", "weak", "plain"), seed=0, number=0, **settings))
    assert batch.images.shape == (3, 50, 1, 4, 4)
    assert not torch.equal(batch.images[0], batch.images[1])
    assert torch.allclose(batch.images[2] * 255, ramp.float())
    (single,) = drawn_batches(ramps, Epoch(views=("weak",), seed=0, number=0, **settings))
    assert torch.equal(single.images[0], batch.images[0])


def test_class_balanced_draws_every_class_equally_often() -> None:
    labels = torch.tensor([0] * 9000 + [1] * 900 + [2] * 100)
    drawn = labels[SAMPLERS.get("class_balanced").target(labels, generator(0, "test"))]
    assert len(drawn) == len(labels)
    assert torch.allclose(torch.bincount(drawn) / len(drawn), torch.full((3,), 1 / 3), atol=0.02)


def test_class_balanced_draws_thousands_of_classes_equally_often() -> None:
    """Counts of a long tail like that of iNaturalist spread as a binomial does, those of its largest classes too."""
    sizes = (1000 * 500.0 ** -torch.linspace(1, 0, 8000)).round().long()
    labels = torch.arange(len(sizes)).repeat_interleave(sizes)
    counts = torch.zeros(len(sizes))
    for seed in range(3):
        drawn = labels[SAMPLERS.get("class_balanced").target(labels, generator(seed, "test"))]
        counts += torch.bincount(drawn, minlength=len(sizes))
    expected = 3 * len(labels) / len(sizes)
    squares = (counts - expected) ** 2 / expected
    assert squares.mean() < 1.1
    assert squares[sizes > 700].mean() < 1.3


def test_plain_batches_keep_the_order() -> None:
    shown = torch.cat(list(part().plain_batches()))
    assert torch.equal(shown, normalise(part().images, torch.tensor([0.5]), torch.tensor([0.25])))
    assert EVAL_BATCH > 50


def test_a_part_of_shared_images_shows_its_own_rows() -> None:
    whole = part()
    some = Resident.of(
        whole.images, torch.tensor([7, 3, 49]), torch.tensor([1, 0, 1]), ((0.5,), (0.25,)), torch.device("cpu")
    )
    assert some.images is whole.images
    assert torch.equal(
        torch.cat(list(some.plain_batches())),
        normalise(whole.images[[7, 3, 49]], torch.tensor([0.5]), torch.tensor([0.25])),
    )
    (batch,) = drawn_batches(some, Epoch(("plain",), Augmentation(), 3, False, "instance", 0, 0))
    shown = batch.images[0, :, 0, 0, 0] * 0.25 * 255 + 0.5 * 255
    assert torch.equal(shown.round().long(), torch.tensor([7, 3, 49])[batch.targets.indices])


def test_an_alternating_flip_mirrors_every_image_every_other_epoch() -> None:
    """A ramp tells which way it lies; the plain view never does."""
    ramp = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4).expand(400, 1, 4, 4).contiguous()
    ramps = Resident(ramp, torch.arange(400), torch.zeros(400), torch.tensor([0.0]), torch.tensor([1.0]))
    asked: Any = {"augmentation": Augmentation(flip="alternating"), "batch_size": 64, "drop_last": False}
    asked["sampler"] = "instance"

    def mirrored(number: int, seed: int = 0) -> torch.Tensor:
        found = torch.zeros(400, dtype=torch.bool)
        for batch in drawn_batches(ramps, Epoch(("weak", "plain"), seed=seed, number=number, **asked)):
            rows = 255 * batch.images[..., 0, 0, :]
            assert torch.allclose(rows[1], torch.arange(4.0))
            assert torch.allclose(rows[0].sort(dim=1).values, torch.arange(4.0))
            found[batch.targets.indices] = rows[0, :, 0] > rows[0, :, 3]
        return found

    first, second, third = (mirrored(number) for number in range(3))
    assert torch.equal(first, ~second)
    assert torch.equal(first, third)
    assert 150 < first.sum() < 250
    assert not torch.equal(first, mirrored(0, seed=1))
    in_place = in_order(ramps, Epoch(("weak",), seed=0, number=1, **asked))
    assert torch.equal(torch.cat([255 * views[0, :, 0, 0, 0] for views in in_place]) > 1, second)


def test_images_are_scaled_after_mixing_as_pillow_does_and_smaller_ones_stay() -> None:
    pixels = torch.randint(0, 256, (1, 1, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    one = Resident(pixels, torch.arange(1), torch.arange(1), torch.tensor([0.0]), torch.tensor([1.0]))

    def at(side: int | None) -> torch.Tensor:
        asked = Epoch(("plain",), Augmentation(mixup=1.0), 1, False, "instance", 0, 0, side)
        (batch,) = drawn_batches(one, asked)
        return 255 * batch.images[0, 0, 0]

    whole = Image.fromarray(pixels[0, 0].numpy().astype("float32"))
    pillows = torch.from_numpy(np.array(whole.resize((30, 20), Image.Resampling.BILINEAR)))
    assert torch.allclose(at(20), pillows, atol=1e-3)
    (collected,) = in_order(one, Epoch(("plain",), Augmentation(), 1, False, "instance", 0, 0, 20))
    assert torch.allclose(255 * collected[0, 0, 0], pillows, atol=1e-3)
    assert torch.equal(at(32), at(None))
    assert torch.equal(at(40), at(None))
