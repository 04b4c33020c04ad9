"""What a head costs of a training step: ``python benchmarks/head_cost.py`` prints a table in Markdown.

A step is 128 images of 32x32, augmented, a ResNet-32 forward and backward pass, and its optimiser step; the head's part
is ``observe``, ``loss``, the backward pass through both and ``after_step``, on the same features, in as many views as
the head asks for. Medians of interleaved repetitions, one thread. The last column is the whole step, with all views
made and through the network, as a multiple of that of ``psc``. Then the Hungarian assignment on random similarities.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from headbench.backbones import BACKBONES
from headbench.core import arrays
from headbench.core.batch import DataInfo, Targets
from headbench.core.streams import generator
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.views import VIEWS
from headbench.heads import HEADS, Context, Head, Stage
from headbench.heads.geometry.assignment import assign
from headbench.heads.geometry.word_vectors import SHIPPED
from headbench.runners.grid import recipes
from headbench.runners.training.classifier import pooled
from headbench.runners.training.hardware import has_bf16

BACKBONE, BATCH, REPETITIONS = "resnet32", 128, 3
# C and d; at d = C - 1 and C/2 the heads that exist at one d only have it, of 1,000 classes those at C - 1.
SIZES = ((10, 9), (10, 5), (100, 50), (100, 99), (200, 100), (200, 199), (1000, 512), (1000, 999))
ASSIGNED = (100, 1000, 8142)
LONG_TAILED = {"batch_weights": True, "batch_norm": True}
VARIANTS: dict[str, dict[str, Any]] = {"dl2pa": {"loss": "dot-regression", **LONG_TAILED}, "etf": LONG_TAILED}


def info(num_classes: int) -> DataInfo:
    """Facts of an invented data set, whose classes have word vectors that differ."""
    table = arrays.read_npz(SHIPPED["minilm"], ["names", "vectors"])
    _, first = np.unique(table["vectors"], axis=0, return_index=True)
    names = tuple(map(str, table["names"][first[:num_classes]]))
    return DataInfo(
        num_classes, torch.full((num_classes,), 500), names, 500 * num_classes, (3, 32, 32), generator(0, "cost"), 1
    )


def seconds(action: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def head_part(head: Head, stage: Stage, num_classes: int, dim: int) -> Callable[[], None]:
    """Return what a head does in a step, on fixed features."""
    features = torch.randn(len(stage.views), BATCH, dim).requires_grad_()
    targets = Targets.plain(torch.randint(0, num_classes, (BATCH,)))
    # The last epoch, since some heads begin with a simpler loss.
    context = Context(stage.name, stage.epochs - 1, stage.epochs, 0)

    def run() -> None:
        with torch.no_grad():
            head.observe(features.detach(), targets, context)
        torch.autograd.backward(head.loss(features, targets, context))
        head.after_step()

    return run


def network_part(views: tuple[str, ...]) -> Callable[[], None]:
    """Return the rest of a step: the views of the images, the network and its optimiser, as in training."""
    network = BACKBONES.get(BACKBONE).target((3, 32, 32)).to(memory_format=torch.channels_last)
    projection = nn.Linear(network.num_features, 64)
    optimiser = torch.optim.SGD([*network.parameters(), *projection.parameters()], lr=0.1, momentum=0.9)
    images = torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8)
    statistics = torch.full((3,), 0.5), torch.full((3,), 0.25)
    augmentation = Augmentation(pad=4, flip=True)
    shows = [VIEWS.get(view).target(BATCH, augmentation, statistics, (3, 32, 32), generator(0, view)) for view in views]

    def run() -> None:
        shown = torch.cat([show(images, slice(0, BATCH)) for show in shows])
        features = pooled(network, shown, bf16=has_bf16(torch.device("cpu")))
        optimiser.zero_grad()
        projection(features).square().mean().backward()
        optimiser.step()

    return run


def row(name: str, options: dict[str, Any]) -> tuple[list[str], float]:
    """Measure a head at all sizes; return its row of the table and the seconds of a ResNet-32 step of one view."""
    target, resolved = HEADS.get(name).target, HEADS.get(name).resolve(options, name)
    stage = target.stages(recipes.load("fast", {}, "head_cost"), resolved)[0]
    sizes = [size for size in SIZES if target.supports(info(size[0]), size[1], resolved) is None]
    plain = head_part(HEADS.get("psc").target(info(100), 50), Stage("train", 1), 100, 50)
    parts = {size: head_part(target(info(size[0]), size[1], **options), stage, *size) for size in sizes}
    actions = {"psc": plain, "one": network_part(("weak",))} | parts
    if len(stage.views) > 1:
        actions["all"] = network_part(stage.views)
    rounds = [{key: seconds(action) for key, action in actions.items()} for _ in range(1 + REPETITIONS)][1:]
    median = {key: statistics.median(times[key] for times in rounds) for key in actions}
    label = ", ".join(f"{key}={value}" for key, value in options.items())
    shares = [f"{100 * median[size] / median['one']:.2f} %" if size in parts else "n/a" for size in SIZES]
    # At the size nearest to 100 classes that the head has.
    whole = median.get("all", median["one"]) + median[min(sizes, key=lambda size: abs(size[0] - 100))]
    cells = [f"{name} ({label})" if label else name, *shares, f"{whole / (median['one'] + median['psc']):.2f}"]
    return cells, median["one"]


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    columns = ["head", *(f"{c} x {d}" for c, d in SIZES), "whole step"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    steps = []
    for name in HEADS.names():
        for options in ({}, VARIANTS[name]) if name in VARIANTS else ({},):
            cells, step = row(name, options)
            steps.append(step)
            print(f"| {' | '.join(cells)} |", flush=True)
    precision = "bfloat16" if has_bf16(torch.device("cpu")) else "float32"
    print(f"\nResNet-32 step of one view: {1000 * statistics.median(steps):.0f} ms, {precision}")
    for num_classes in ASSIGNED:
        similarity = torch.nn.functional.normalize(torch.randn(num_classes, 64), dim=1) @ torch.nn.functional.normalize(
            torch.randn(64, num_classes), dim=0
        )
        print(f"assignment of {num_classes} classes: {seconds(partial(assign, similarity)):.3f} s")


if __name__ == "__main__":
    main()
