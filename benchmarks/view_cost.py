"""What views cost of a training step: ``python benchmarks/view_cost.py`` prints a table in Markdown.

A step is a ResNet-32 forward and backward pass with its optimiser step on 128 images of 32x32 in float32; a view is
drawn and shown for as many images. CPU time of one thread, medians of interleaved repetitions.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from headbench.backbones import BACKBONES
from headbench.core.streams import generator
from headbench.data.loading.augment import Augmentation
from headbench.data.loading.views import VIEWS

BATCH, BATCHES, REPETITIONS = 128, 10, 7
SHAPE = (3, 32, 32)
SHOWN: dict[str, tuple[str, Augmentation]] = {
    "`plain`": ("plain", Augmentation()),
    "`weak`": ("weak", Augmentation(pad=4, flip=True)),
    "`weak`, `cutout: 16`": ("weak", Augmentation(pad=4, flip=True, cutout=16)),
    "`weak`, `policy: autoaugment`, `cutout: 16`": (
        "weak",
        Augmentation(pad=4, flip=True, cutout=16, policy="autoaugment"),
    ),
    "`weak`, `policy: randaugment-9`": ("weak", Augmentation(pad=4, flip=True, policy="randaugment-9")),
    "`weak`, `policy: trivial`": ("weak", Augmentation(pad=4, flip=True, policy="trivial")),
    "`simclr`": ("simclr", Augmentation(flip=True)),
}


def view(name: str, augmentation: Augmentation) -> Callable[[], None]:
    """Return what draws and shows ten batches."""
    images = torch.randint(0, 256, (BATCHES * BATCH, *SHAPE), dtype=torch.uint8, generator=generator(0, "images"))
    statistics = torch.full((3,), 0.5), torch.full((3,), 0.25)

    def run() -> None:
        show = VIEWS.get(name).target(len(images), augmentation, statistics, SHAPE, generator(0, "cost"))
        for start in range(0, len(images), BATCH):
            show(images[start : start + BATCH], slice(start, start + BATCH))

    return run


def step() -> Callable[[], None]:
    """Return a training step of ResNet-32."""
    backbone = BACKBONES.get("resnet32").target(SHAPE)
    network = nn.Sequential(backbone, nn.Linear(backbone.num_features, 100)).to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, *SHAPE).contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)

    def run() -> None:
        optimiser.zero_grad()
        network(images).square().mean().backward()
        optimiser.step()

    return run


def cpu_seconds(action: Callable[[], None]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    action()
    return time.process_time() - start


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    actions = {name: view(*shown) for name, shown in SHOWN.items()} | {"step": step()}
    rounds = [{name: cpu_seconds(action) for name, action in actions.items()} for _ in range(1 + REPETITIONS)][1:]
    median = {name: statistics.median(times[name] for times in rounds) for name in actions}
    print("| view | images a second | of a step |\n|---|---|---|")
    for name in SHOWN:
        batch = median[name] / BATCHES
        print(f"| {name} | {BATCH / batch:,.0f} | {100 * batch / median['step']:.1f} % |")
    print(f"\nstep of {BATCH} images: {median['step']:.3f} s")


if __name__ == "__main__":
    main()
