"""Processes that read image files and show them, started once and used for every epoch and evaluation."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from headbench.core.alone import follow_parent
from headbench.core.errors import UserError
from headbench.core.streams import derive, seed_global, undisturbed
from headbench.data.formats.decoding import open_rgb
from headbench.data.formats.walking import printable
from headbench.data.loading.augment import Augmentation, Statistics
from headbench.data.loading.views import FILE_VIEWS, VIEWS, View
from headbench.data.loading.views.plain import crop


@dataclass(frozen=True)
class Look:
    """How files are shown.

    Attributes:
        views: names.
        augmentation: of the recipe.
        size: H = W.
        statistics: mean and standard deviation per channel, of pixels in [0, 1].
        exif: whether images are brought upright as their EXIF orientation says.
    """

    views: tuple[str, ...]
    augmentation: Augmentation
    size: int
    statistics: Statistics
    exif: bool


@dataclass(frozen=True)
class Request:
    """Files that one process reads at once.

    Attributes:
        look: how they are shown.
        paths: B files.
        places: of the files in their epoch; each image draws from a seed of its own, by its place.
        seed: of the epoch.
    """

    look: Look
    paths: tuple[Path, ...]
    places: tuple[int, ...]
    seed: int


class Readers:
    """Processes that read files. One set serves all parts of a data set, one pass after the other.

    Args:
        count: of the processes; 0 reads in this one, None has as many as torch has threads.
        begin: what each of them does first, pickled where they are no copies of this process: it loads what was
            registered here.
    """

    def __init__(self, count: int | None = None, begin: Callable[[], None] | None = None) -> None:
        self.count, self.begin = count, begin
        self._idle: list[DataLoader[Tensor]] = []

    def read(self, requests: Iterable[Request], *, pinned: bool) -> Iterator[Tensor]:
        """Yield the views (B, V, 3, H, W) of each request, in their order.

        Args:
            requests: what is to be read.
            pinned: whether the tensors are in pinned memory.

        Raises:
            UserError: naming the first file that cannot be read.
        """
        # A pass within a pass has readers of its own, and so has one after a pass that was broken off.
        loader = self._idle.pop() if self._idle else self._started(pinned)
        loader.sampler.requests = requests  # type: ignore[attr-defined]
        try:
            yield from loader
        except UserError as error:
            # torch puts the reader's whole traceback before the message.
            raise UserError(str(error).strip().splitlines()[-1].partition("UserError: ")[2] or str(error)) from None
        self._idle.append(loader)

    def close(self) -> None:
        """End the processes."""
        self._idle.clear()

    def _started(self, pinned: bool) -> "DataLoader[Tensor]":
        count = torch.get_num_threads() if self.count is None else self.count
        if multiprocessing.current_process().daemon:  # as those of a pool, which may start no other; no number changes
            count = 0
        # With a generator of its own it draws nothing from torch's, on which what is trained may depend.
        return DataLoader(
            _Shown(),
            batch_size=None,
            sampler=_Asked(),
            num_workers=count,
            persistent_workers=count > 0,
            worker_init_fn=partial(_begin, self.begin),
            pin_memory=pinned,
            generator=torch.Generator(),
        )


def _begin(begin: Callable[[], None] | None, _: int) -> None:
    """Begin a reader: torch ends it with the process that forked it, and in a worker that is a server that goes on."""
    follow_parent()
    if begin is not None:
        begin()


class _Asked:
    """The requests of the pass under way, as a loader's sampler."""

    requests: Iterable[Request] = ()

    def __iter__(self) -> Iterator[Request]:
        return iter(self.requests)


class _Shown(Dataset[Tensor]):
    """What a request is answered by: all views (B, V, 3, H, W) of its files."""

    def __getitem__(self, request: Request) -> Tensor:
        # Where this process is more than a reader, its own draws go on as they were.
        with undisturbed() if get_worker_info() is None else nullcontext():
            return torch.stack([_views(request, number) for number in range(len(request.paths))])


def _views(request: Request, number: int) -> Tensor:
    """Return the views (V, 3, H, W) of a file of a request."""
    look, path = request.look, request.paths[number]
    image, views = open_rgb(path, printable(path), look.exif), []
    for own, view in enumerate(look.views):
        # timm and torchvision draw from three global generators.
        seed_global(derive(request.seed, request.places[number], own))
        views.append(_transform(view, look)(image))
    return torch.stack(views)


@cache
def _transform(view: str, look: Look) -> Callable[[Image], Tensor]:
    """Return what makes a view (3, size, size) of an image of any size, drawing from the global generators."""
    if view in FILE_VIEWS:
        return FILE_VIEWS.get(view).target(look.augmentation, look.size, look.statistics)
    tensors = torch.tensor(look.statistics[0]), torch.tensor(look.statistics[1])
    return partial(_shown, VIEWS.get(view).target, look.augmentation, tensors, crop(look.size, normalize=False))


def _shown(
    view: View,
    augmentation: Augmentation,
    statistics: tuple[Tensor, Tensor],
    cropped: Callable[[Image], Tensor],
    image: Image,
) -> Tensor:
    """Return a view of one image, as if it were an epoch of its own."""
    pixels = cropped(image)[None]
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    return view(1, augmentation, statistics, shape, torch.default_generator)(pixels, slice(0, 1))[0]
