"""One epoch of batches from a part of a data set: its order, its slices, its mixing, its size and its random streams.

They are the same for every kind of part; a part only shows images.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor

from headbench.core.batch import Batch, Portion, Targets
from headbench.core.streams import derive, generator
from headbench.data.loading.augment import Augmentation, Statistics, mirrored, scaled
from headbench.data.loading.mixing import Mixes, draw_mixes, mix
from headbench.data.loading.samplers import SAMPLERS

SAMPLED_TOGETHER = 50


@dataclass(frozen=True)
class Epoch:
    """One pass over a training part; the same fields give the same batches, whatever ran before.

    Attributes:
        views: names, one slice of the batch each.
        augmentation: of the recipe.
        batch_size: images a step.
        drop_last: leave out the last, smaller batch.
        sampler: a name, see :mod:`headbench.data.loading.samplers`.
        seed: of the cell.
        number: of the epoch within the whole training, whatever its stages: for one seed all heads see the same
            batches.
        side: of the batches' images in pixels, to which larger ones are scaled; None shows them as they are.
        portion: of every batch that is shown here, where several devices share it; None shows all of it.
        parts: in which a batch goes through the network; a device shows its portion of each.
    """

    views: tuple[str, ...]
    augmentation: Augmentation
    batch_size: int
    drop_last: bool
    sampler: str
    seed: int
    number: int
    side: int | None = None
    portion: Portion | None = None
    parts: int = 1

    def stream(self, name: str, *parts: int) -> torch.Generator:
        """Return the CPU generator of a named stream of this epoch."""
        return generator(self.seed, name, "train", self.number, *parts)

    def derived(self, name: str) -> int:
        """Return a seed of this epoch for what makes its own generators."""
        return derive(self.seed, name, self.number)

    def slices(self, count: int) -> list[slice]:
        """Return the parts of ``count`` images that make the batches."""
        end = count - count % self.batch_size if self.drop_last else count
        return [slice(start, min(start + self.batch_size, end)) for start in range(0, end, self.batch_size)]


@dataclass(frozen=True)
class EpochPlan:
    """What an epoch has drawn for a part, once, on the CPU, so that no step waits for the device.

    Attributes:
        epoch: that was asked for.
        order: (N,) positions in the part, on the CPU.
        positions: the same on the part's device.
        slices: of the order, one a batch.
        mixes: of the batches, or None.
        rows: of each batch the places in the order that are shown here, and after these their partners' where it is
            mixed, on the part's device; None shows all of it.
    """

    epoch: Epoch
    order: Tensor
    positions: Tensor
    slices: list[slice]
    mixes: Mixes | None
    rows: tuple[Tensor, ...] | None = None

    def portions(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield of each batch (V, B, ...) what is shown here."""
        if self.rows is None:
            yield from batches
            return
        for images, chosen, rows in zip(batches, self.slices, self.rows, strict=True):
            yield images[:, rows - chosen.start]


class Part(Protocol):
    """One part of a data set, ready to be trained or evaluated on: resident on the device, or streamed from files."""

    mixing_stream: ClassVar[str]
    """Name of the random stream of its mixing."""

    @property
    def labels(self) -> Tensor:
        """(N,) int64, on the device."""

    @property
    def statistics(self) -> Statistics:
        """Mean and standard deviation of each channel, of pixels in [0, 1], by which images are normalised."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a batch's images."""

    def __len__(self) -> int: ...

    def shown(self, plan: EpochPlan) -> Iterator[Tensor]:
        """Yield the views (V, B, channels, H, W) of each batch of a plan, or of its rows, before any mixing."""

    def taken(self, rows: Tensor) -> Self:
        """Return the part that has some samples (N,) of this one only, known by their positions on the CPU."""

    def plain_batches(self) -> Iterator[Tensor]:
        """Yield all images in order, normalised and not augmented, (B, channels, H, W)."""


def draw(part: Part, epoch: Epoch) -> EpochPlan:
    """Draw an epoch of a part."""
    device = part.labels.device
    order = SAMPLERS.get(epoch.sampler).target(part.labels.cpu(), epoch.stream("order"))
    slices = epoch.slices(len(order))
    seed = epoch.derived(part.mixing_stream)
    mixes = draw_mixes(len(order), len(slices), epoch.augmentation, part.image_shape, seed, device)
    rows = None if epoch.portion is None else _rows(slices, epoch.portion, epoch.parts, mixes, device)
    return EpochPlan(epoch, order, order.to(device), slices, mixes, rows)


def _rows(
    slices: list[slice], portion: Portion, parts: int, mixes: Mixes | None, device: torch.device
) -> tuple[Tensor, ...]:
    """Return of each batch the places in the order that a device shows, and those of their partners if it is mixed."""
    keys, places = None if mixes is None else mixes.keys.cpu(), []
    for chosen in slices:
        own = portion.rows(chosen.stop - chosen.start, parts)
        places.append(chosen.start + (own if keys is None else torch.cat([own, torch.argsort(keys[chosen])[own]])))
    return torch.split(torch.cat(places).to(device), [len(own) for own in places])


def batches(part: Part, epoch: Epoch, first: int = 0) -> Iterator[Batch]:
    """Yield one epoch of augmented batches of a part, from the ``first`` one on, counted from 0."""
    plan = draw(part, epoch)
    plan = replace(plan, slices=plan.slices[first:], rows=plan.rows and plan.rows[first:])
    for step, (chosen, images) in enumerate(zip(plan.slices, _shown(part, plan), strict=True), start=first):
        positions = plan.positions[chosen]
        batch = Batch(images, Targets.plain(part.labels[positions], positions))
        if (mixes := plan.mixes) is not None:
            paired = plan.rows is not None
            batch = mix(batch, mixes.keys[chosen], mixes.weights[step], mixes.boxes[step], paired=paired)
        yield replace(batch, images=scaled(batch.images, epoch.side))


def in_order(part: Part, epoch: Epoch) -> Iterator[Tensor]:
    """Yield the views (V, B, channels, H, W) of all images of a part, in order and unmixed, whatever the sampler."""
    plan = _unmixed(part, epoch, torch.arange(len(part)))
    return (scaled(images, epoch.side) for images in _shown(part, plan))


def sample(part: Part, count: int) -> Iterator[Tensor]:
    """Yield up to ``count`` images of a part, evenly spaced in its order, normalised and not augmented, in batches
    (B, channels, H, W).
    """
    count = min(count, len(part))
    asked = Epoch(("plain",), Augmentation(), SAMPLED_TOGETHER, False, "instance", 0, 0)
    plan = _unmixed(part, asked, torch.arange(count) * len(part) // count)
    return (images[0] for images in part.shown(plan))


def _unmixed(part: Part, epoch: Epoch, order: Tensor) -> EpochPlan:
    """Return the plan that shows the images of a part in an order."""
    whole = replace(epoch, drop_last=False, portion=None)
    return EpochPlan(whole, order, order.to(part.labels.device), whole.slices(len(order)), None)


def _shown(part: Part, plan: EpochPlan) -> Iterator[Tensor]:
    """Yield the views (V, B, channels, H, W) of each batch of a plan, mirrored where the epoch alternates.

    Of each image the view ``weak`` is mirrored every other epoch, from a first one that the seed draws.

    Source: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024 (alternating flip).
    """
    epoch, device = plan.epoch, part.labels.device
    if epoch.augmentation.flip != "alternating":
        yield from part.shown(plan)
        return
    first = torch.rand(len(part), generator=generator(epoch.seed, "mirror", "train")) < 0.5
    now = (first ^ bool(epoch.number % 2)).to(device)
    weak = torch.tensor([view == "weak" for view in epoch.views])[:, None].to(device)
    places: Sequence[slice | Tensor] = plan.rows or plan.slices
    for chosen, images in zip(places, part.shown(plan), strict=True):
        yield mirrored(images, weak & now[plan.positions[chosen]])
