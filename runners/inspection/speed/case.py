"""What is timed: a head on a network, on images of noise."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from headbench.core.errors import UserError
from headbench.core.streams import generator
from headbench.data import Dataset, ImageSet
from headbench.data.splits import Protocol, partition
from headbench.runners.grid import config, overrides
from headbench.runners.grid.cells import Cell
from headbench.runners.training import classifier, hardware, parts
from headbench.runners.training.hardware import Hardware, Share
from headbench.runners.training.parts import Parts

PLACE = "speed"
# The images are of CIFAR-100's shape and number of classes, and no image is read.
DATASET, CLASSES, SHAPE = "cifar100", 100, (3, 32, 32)
# All images train: those that validate are the data set's own, for heads that choose something by them.
VAL_FRACTION = 0.1
# In a repetition, by device: a third of a second of ResNet-32 or more.
STEPS = {"cpu": 3, "cuda": 50}
NAMED = re.compile(r"([^\s()]+)(?:\((.*)\))?")
# Before an option, not within a list.
COMMA = re.compile(r",\s*(?=\w+=)")
# A list of numbers as a label has it.
DASHED = re.compile(r"(?<==)\d+(?:-\d+)+$")


@dataclass(frozen=True)
class Request:
    """What is asked for, as the options of ``bench.py speed``.

    Attributes:
        backbone: ``NAME`` or ``NAME(key=value, ...)``.
        heads: the same.
        batch_size: images a step.
        feature_dim: d.
        precisions: ``auto``, ``fp32`` or ``bf16``.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: of torch, or None for all cores.
        repetitions: whose median is taken.
        compile: ``off``, ``on`` or both: whether bare loop and runner train a compiled backbone.
    """

    backbone: str = "resnet32"
    heads: Sequence[str] = ("dl2pa",)
    batch_size: int = 128
    feature_dim: int = 50
    precisions: Sequence[str] = ("auto",)
    device: str = "auto"
    threads: int | None = None
    repetitions: int = 5
    compile: Sequence[str] = ("off",)


@dataclass(frozen=True)
class Case:
    """One head in one precision, compiled or not.

    Attributes:
        cell: how it would be trained.
        images: noise, as many as a repetition shows.
        parts: the same on the device.
        hardware: device, precision, and whether the backbone is compiled.
    """

    cell: Cell
    images: ImageSet
    parts: Parts
    hardware: Hardware


def cases(request: Request) -> list[Case]:
    """Return a case per head, precision and whether it is compiled, checked.

    Raises:
        UserError: for an unknown name or option, a number out of range, or a head that does not apply.
    """
    cells = config.expand(config.parse_grid(_grid(request), PLACE), "auto", PLACE)
    threads = request.threads or hardware.cores()
    shares = [
        Share(request.device, threads, precision, compiled=choice == "on")
        for precision in request.precisions
        for choice in request.compile
    ]
    machines = list(dict.fromkeys(hardware.set_up(share) for share in shares))
    device = machines[0].device
    steps = max(STEPS[device.type], math.ceil(CLASSES / request.batch_size))
    images = noise(steps * request.batch_size)
    laid = lay(images, device)
    for cell in cells:
        reason = classifier.unsupported(cell, laid.info(cell.seed))
        if reason:
            raise UserError(f"{PLACE}: head '{cell.head_label}' on {CLASSES} classes: {reason}")
    return [Case(cell, images, laid, machine) for cell in cells for machine in machines]


@contextmanager
def enough_memory(request: Request) -> Iterator[None]:
    """Raise UserError in place of an error which says that there is no room for what is timed."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not hardware.out_of_memory(error):
            raise
        raise UserError(f"--batch-size: {request.batch_size} images and the network do not fit the memory") from None


def noise(count: int) -> ImageSet:
    """Return images of noise, of all classes alike."""
    random = generator(0, PLACE, count)
    pixels = torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8, generator=random)
    return ImageSet(pixels, torch.arange(count) % CLASSES)


def lay(images: ImageSet, device: torch.device) -> Parts:
    """Lay images to train on, and a few more to validate and to test, on the device."""
    names = tuple(str(number % 10) for number in range(CLASSES))  # which every vocabulary has
    mean, std = (0.5,) * SHAPE[0], (0.25,) * SHAPE[0]
    dataset = Dataset(images, noise(CLASSES), names, mean, std, val=noise(CLASSES))
    return parts.lay(dataset, partition(dataset, Protocol(val_fraction=VAL_FRACTION)), None, device)


def _grid(request: Request) -> dict[str, Any]:
    """Return the grid whose cells are timed.

    The recipe is that of ResNet-32 in the papers, plain SGD. Half of its epochs are enough for all repetitions, since
    some heads have two stages. With noise for images the loss must stay finite only: the learning rate is small.
    """
    epochs = 2 * (request.repetitions + 2)
    recipe = {"base": "paper", "epochs": epochs, "batch_size": request.batch_size, "lr": 1e-3, "loss_scale": {}}
    axes = {
        "dataset": [DATASET],
        "backbone": [named(request.backbone, "--backbone")],
        "head": [named(head, "--head") for head in request.heads],
        "feature_dim": [request.feature_dim],
    }
    return {"name": PLACE, "recipe": recipe, "val_fraction": VAL_FRACTION, "axes": axes}


def named(text: str, option: str) -> dict[str, Any]:
    """Return a name and its options, written as a label is: ``resnet32(shortcut=A)``.

    Raises:
        UserError: if it is not written so.
    """
    found = NAMED.fullmatch(text.strip())
    if not found:
        raise UserError(f"{option}: '{text}' is not of the form NAME or NAME(key=value, ...)")
    words = COMMA.split(found[2]) if found[2] else []
    lists = (DASHED.sub(lambda numbers: f"[{numbers[0].replace('-', ', ')}]", word.strip()) for word in words)
    return {"name": found[1]} | overrides.assignments(lists, option)
