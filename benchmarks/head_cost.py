"""What a head costs of a training step: ``python benchmarks/head_cost.py`` prints a table in Markdown.

A step is a ResNet-32 forward and backward pass with its optimiser step on 128 images of 32x32; the head's part is
``observe``, ``loss`` and the backward pass through both, on the same features. Medians of interleaved repetitions, one
thread. Then the Hungarian assignment, once per epoch, on random similarities.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from headbench.backbones import BACKBONES
from headbench.core.batch import DataInfo, Targets
from headbench.core.streams import generator
from headbench.heads import HEADS, Context, Head
from headbench.heads.geometry.assignment import assign

BATCH, REPETITIONS = 128, 7
# C and d; at d = C - 1 and C/2 the heads that exist at one d only have it.
SIZES = ((10, 9), (10, 5), (100, 50), (100, 99), (200, 100), (200, 199), (1000, 512), (1000, 999))
CONTEXT = Context("train", 0, 1, 0)
LONG_TAILED = {"batch_weights": True, "batch_norm": True}
VARIANTS: dict[str, dict[str, Any]] = {"dl2pa": {"loss": "dot-regression", **LONG_TAILED}, "etf": LONG_TAILED}


def info(num_classes: int) -> DataInfo:
    """Facts of an invented data set."""
    names = tuple(str(c % 10) for c in range(num_classes))
    return DataInfo(
        num_classes, torch.full((num_classes,), 500), names, 500 * num_classes, (3, 32, 32), generator(0, "cost")
    )


def seconds(action: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def head_part(head: Head, num_classes: int, dim: int) -> Callable[[], None]:
    """Return what a head does in a step, on fixed features."""
    features = torch.randn(1, BATCH, dim).requires_grad_()
    labels = torch.randint(0, num_classes, (BATCH,))
    targets = Targets.plain(labels, torch.arange(BATCH))

    def run() -> None:
        with torch.no_grad():
            head.observe(features.detach(), targets, CONTEXT)
        torch.autograd.backward(head.loss(features, targets, CONTEXT))
        head.after_step()

    return run


def network_part() -> Callable[[], None]:
    """Return the rest of a step: ResNet-32 and its optimiser, bfloat16 as in training."""
    network = BACKBONES.get("resnet32").target((3, 32, 32)).to(memory_format=torch.channels_last)
    projection = nn.Linear(network.num_features, 64)
    optimiser = torch.optim.SGD([*network.parameters(), *projection.parameters()], lr=0.1, momentum=0.9)
    images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            pooled = network(images)
        optimiser.zero_grad()
        projection(pooled.float()).square().mean().backward()
        optimiser.step()

    return run


def main() -> None:
    """Print both tables."""
    torch.set_num_threads(1)
    network = network_part()
    print("| head | " + " | ".join(f"{c} x {d}" for c, d in SIZES) + " |\n|" + "---|" * (len(SIZES) + 1))
    steps = []
    for name in HEADS.names():
        for options in ({}, VARIANTS[name]) if name in VARIANTS else ({},):
            target, resolved = HEADS.get(name).target, HEADS.get(name).resolve(options, name)
            usable = [size for size in SIZES if target.supports(info(size[0]), size[1], resolved) is None]
            parts = {size: head_part(target(info(size[0]), size[1], **options), *size) for size in usable}
            rounds = [
                {None: seconds(network)} | {size: seconds(part) for size, part in parts.items()}
                for _ in range(1 + REPETITIONS)
            ][1:]
            median = {key: statistics.median(times[key] for times in rounds) for key in (None, *parts)}
            steps.append(median[None])
            label = ", ".join(f"{key}={value}" for key, value in options.items())
            shares = [f"{100 * median[size] / median[None]:.2f} %" if size in parts else "n/a" for size in SIZES]
            print(f"| {name}{f' ({label})' if label else ''} | " + " | ".join(shares) + " |", flush=True)
    print(f"\nResNet-32 step: {1000 * statistics.median(steps):.0f} ms")
    for num_classes in (100, 1000, 8142):
        similarity = torch.nn.functional.normalize(torch.randn(num_classes, 64), dim=1) @ torch.nn.functional.normalize(
            torch.randn(64, num_classes), dim=0
        )
        print(f"assignment of {num_classes} classes: {seconds(partial(assign, similarity)):.3f} s")


if __name__ == "__main__":
    main()
