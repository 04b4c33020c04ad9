"""The streaming form of the loader: the same contract as the resident one, from files."""

import multiprocessing
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from headbench.core.batch import Batch
from headbench.core.errors import UserError
from headbench.data import FileSet
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.epoch import Epoch, batches
from headbench.data.loading.readers import Readers
from headbench.data.loading.streamed import Streamed
from headbench.data.loading.views import FILE_VIEWS
from tests.data.helpers import random_images, save

STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture
def part(tmp_path: Path) -> Streamed:
    """Ten images of 40 x 40, to be shown at 32 x 32."""
    for n, image in enumerate(random_images(10, 0, 40)):
        save(tmp_path / f"{n}.png", image)
    files = FileSet(tmp_path, tuple(f"{n}.png" for n in range(10)), torch.arange(10) % 3, 32)
    return Streamed.of(files, torch.arange(10), files.labels, STATISTICS, torch.device("cpu"))


def epoch(**changes: object) -> Epoch:
    settings = {
        "views": ("weak",),
        "augmentation": Augmentation(flip=True),
        "batch_size": 4,
        "drop_last": False,
        "sampler": "instance",
    }
    return Epoch(**(settings | {"seed": 0, "number": 0} | changes))  # type: ignore[arg-type]


def same(first: list[Batch], second: list[Batch]) -> bool:
    return all(
        torch.equal(a.images, b.images) and torch.equal(a.targets.indices, b.targets.indices)
        for a, b in zip(first, second, strict=True)
    )


def test_an_epoch_shows_every_file_once_with_its_label(part: Streamed) -> None:
    seen = list(batches(part, epoch()))
    assert [batch.images.shape for batch in seen] == [(1, 4, 3, 32, 32), (1, 4, 3, 32, 32), (1, 2, 3, 32, 32)]
    assert torch.cat([batch.targets.indices for batch in seen]).sort().values.tolist() == list(range(10))
    assert all(torch.equal(batch.targets.labels, batch.targets.indices % 3) for batch in seen)
    assert [len(batch.targets.labels) for batch in batches(part, epoch(drop_last=True))] == [4, 4]


def test_the_number_of_readers_changes_nothing_and_the_epoch_does(
    part: Streamed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do torch's, numpy's and Python's own random numbers notice that this process reads, nor those of a GPU."""
    monkeypatch.setattr("headbench.data.loading.streamed.TOGETHER", 3)
    policy = epoch(
        augmentation=Augmentation(flip=True, policy="trivial", random_erasing=0.5, mixup=1.0), views=("weak", "weak")
    )
    runs = []
    for readers in (0, 1, 2):
        before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
        with monkeypatch.context() as patch:
            if not readers:
                patch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("GPUs are seeded"))
            runs.append(list(batches(replace(part, readers=Readers(readers)), policy)))
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1:] == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]
    assert same(runs[0], runs[1])
    assert same(runs[0], runs[2])
    assert not torch.equal(runs[0][0].images[0], runs[0][0].images[1])
    assert not same(runs[0], list(batches(part, epoch(number=1, augmentation=policy.augmentation, views=policy.views))))


def test_the_same_readers_serve_all_passes_and_end_when_closed(part: Streamed) -> None:
    part = replace(part, readers=Readers(2))
    there = set(multiprocessing.active_children())
    list(batches(part, epoch()))
    started = set(multiprocessing.active_children()) - there
    assert len(started) == 2
    other = replace(part, paths=part.paths[:3], labels=part.labels[:3])
    assert torch.equal(torch.cat(list(other.plain_batches())), torch.cat(list(part.plain_batches()))[:3])
    assert set(multiprocessing.active_children()) - there == started
    part.readers.close()
    assert not set(multiprocessing.active_children()) - there


def test_a_pass_within_a_pass_and_one_after_a_pass_that_was_broken_off(part: Streamed) -> None:
    part = replace(part, readers=Readers(1))
    expected = torch.cat(list(part.plain_batches()))
    outer = batches(part, epoch())
    first = next(outer)
    assert torch.equal(torch.cat(list(part.plain_batches())), expected)
    assert same([first, *outer], list(batches(part, epoch())))
    next(batches(part, epoch(number=1)))
    assert torch.equal(torch.cat(list(part.plain_batches())), expected)


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-inc1", "trivial", ""])
def test_policies_give_normalised_images_of_the_right_size(part: Streamed, policy: str) -> None:
    (batch,) = batches(part, epoch(batch_size=10, augmentation=Augmentation(policy=policy, color_jitter=0.4)))
    assert batch.images.shape == (1, 10, 3, 32, 32)
    assert batch.images.dtype == torch.float32
    assert batch.images.abs().max() < 3


def test_evaluation_scales_and_crops_the_middle(part: Streamed) -> None:
    shown = torch.cat(list(part.plain_batches()))
    transform = v2.Compose(
        [
            v2.PILToTensor(),
            v2.Resize(36, v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(32),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(*STATISTICS),
        ]
    )
    for n in range(10):
        expected = transform(Image.open(part.root / f"{n}.png"))
        assert (shown[n] - expected).abs().mean() < 0.05  # PIL and torch differ a little in bicubic interpolation


def test_a_damaged_file_is_named(part: Streamed) -> None:
    (part.root / "3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^/.*3.png: not an image, or damaged$") as caught:
        list(part.plain_batches())
    assert "\n" not in str(caught.value)


def test_positions_choose_files(tmp_path: Path) -> None:
    for n in range(3):
        save(tmp_path / f"{n}.png", np.full((32, 32, 3), 50 * n, dtype=np.uint8))
    files = FileSet(tmp_path, ("0.png", "1.png", "2.png"), torch.tensor([0, 1, 2]), 32)
    part = Streamed.of(files, torch.tensor([2, 0]), torch.tensor([2, 0]), ((0.0,) * 3, (1.0,) * 3), torch.device("cpu"))
    (shown,) = part.plain_batches()
    assert (shown[:, 0, 16, 16] * 255).round().tolist() == [100, 0]


def test_a_reader_knows_the_views_that_it_is_told_to_load(part: Streamed) -> None:
    """Where readers are no copies of this process, which has views of a plug-in."""
    readers = Readers(1, partial(_register, "readers-own"))
    shown = next(batches(replace(part, readers=readers), epoch(views=("readers-own",))))
    assert torch.equal(shown.images, torch.full((1, 4, 3, 32, 32), 0.5))
    readers.close()


def _register(name: str) -> None:
    FILE_VIEWS.register(name, version=1)(
        lambda augmentation, size, statistics: lambda image: torch.full((3, size, size), 0.5)
    )


def test_every_view_of_every_file_has_draws_of_its_own(part: Streamed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times one image, also where several files are read at once."""
    monkeypatch.setattr("headbench.data.loading.streamed.TOGETHER", 3)
    for path in part.paths:
        save(part.root / path, random_images(1, 0, 40)[0])
    (batch,) = batches(replace(part, readers=Readers(0)), epoch(batch_size=10, views=("weak", "weak")))
    assert len(batch.images.flatten(0, 1).flatten(1).unique(dim=0)) == 20


def test_files_are_brought_upright_in_training_as_in_evaluation(part: Streamed) -> None:
    """Orientation 6 is a quarter turn to the right."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for path, image in zip(part.paths, random_images(10, 0, 40), strict=True):
        Image.fromarray(image).save(part.root / path, exif=exif)
    upright = replace(part, exif=True, readers=Readers(0))
    shown, stored = (torch.cat(list(each.plain_batches())) for each in (upright, replace(upright, exif=False)))
    assert (shown - stored.rot90(-1, (2, 3))).abs().mean() < 0.05  # Pillow scales by rows before columns
    (batch,) = batches(upright, epoch(batch_size=10, views=("plain",)))
    assert torch.equal(batch.images[0], shown[batch.targets.indices])
