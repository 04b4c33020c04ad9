"""Images of another data set, shown as a classifier's own are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from headbench.core.errors import UserError
from headbench.data import FileSet, ImageSet
from headbench.data.loading import foreign
from headbench.data.loading.foreign import Foreign
from headbench.data.loading.resident import Resident
from headbench.data.loading.streamed import Streamed
from tests.data.helpers import random_images, save

CPU = torch.device("cpu")
COLOUR = ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
GREY = ((0.5,), (0.25,))


def shown(pixels: np.ndarray, shape: tuple[int, int, int], statistics: object) -> torch.Tensor:
    samples = ImageSet(
        torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), torch.zeros(len(pixels), dtype=torch.int64)
    )
    part = Foreign("other", samples, shape, statistics, CPU)  # type: ignore[arg-type]
    return torch.cat(list(part.plain_batches()))


def pixels_of(images: torch.Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> np.ndarray:
    """Images as they were before they were normalised."""
    mean, std = (torch.tensor(values)[:, None, None] for values in statistics)
    return (255 * (images * std + mean)).numpy().transpose(0, 2, 3, 1)


def test_images_of_the_same_shape_are_shown_as_the_own_ones() -> None:
    pixels = random_images(600, 0, side=5)
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    own = Resident.of(images, torch.arange(600), torch.zeros(600), COLOUR, CPU)
    assert torch.equal(shown(pixels, (3, 5, 5), COLOUR), torch.cat(list(own.plain_batches())))


def test_colour_becomes_the_grey_of_pillow_and_grey_is_repeated() -> None:
    pixels = random_images(4, 1, side=6)
    expected = [np.asarray(Image.fromarray(image).convert("L"), dtype=float) for image in pixels]
    assert np.abs(pixels_of(shown(pixels, (1, 6, 6), GREY), GREY)[..., 0] - expected).max() <= 1
    grey = pixels[..., :1]
    repeated = pixels_of(shown(grey, (3, 6, 6), COLOUR), COLOUR)
    assert np.allclose(repeated, np.repeat(grey, 3, axis=3), atol=1e-3)


def test_a_size_is_scaled_as_pillow_does_to_whole_values() -> None:
    smooth = np.kron(random_images(3, 2, side=6), np.ones((1, 8, 8, 1), dtype=np.uint8))
    found = pixels_of(shown(smooth, (3, 16, 12), COLOUR), COLOUR)
    assert np.abs(found - found.round()).max() < 1e-3
    expected = [np.asarray(Image.fromarray(image).resize((12, 16), Image.Resampling.BILINEAR)) for image in smooth]
    assert np.abs(found - np.stack(expected)).max() <= 1.01


def test_files_are_shown_too(tmp_path: Path) -> None:
    # Of one colour each, since files are scaled and cropped.
    pixels = np.broadcast_to(random_images(2, 3, side=1), (2, 10, 10, 3))
    for number, image in enumerate(pixels):
        save(tmp_path / f"{number}.png", image)
    files = FileSet(tmp_path, ("0.png", "1.png"), torch.zeros(2, dtype=torch.int64), 224)
    batches = list(Foreign("other", files, (1, 10, 10), GREY, CPU).plain_batches())
    assert torch.allclose(torch.cat(batches), shown(pixels, (1, 10, 10), GREY), atol=0.02)


def test_files_are_read_large_enough_for_the_longer_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "0.png", random_images(1, 3, side=20)[0])
    files, read, of = FileSet(tmp_path, ("0.png",), torch.zeros(1, dtype=torch.int64), 224), list[int](), Streamed.of

    def recorded(files: FileSet, *rest: Any) -> Streamed:
        read.append(files.size)
        return of(files, *rest)

    monkeypatch.setattr(Streamed, "of", recorded)
    (batch,) = Foreign("other", files, (1, 10, 14), GREY, CPU).plain_batches()
    assert (read, batch.shape) == ([14], (1, 1, 10, 14))


def test_other_channels_are_refused() -> None:
    foreign.check((3, 5, 5), (1, 8, 8))
    foreign.check((4, 5, 5), (4, 8, 8))
    with pytest.raises(UserError, match="its images have 4 channels, not 3; only grey and colour are converted"):
        foreign.check((4, 5, 5), (3, 5, 5))
