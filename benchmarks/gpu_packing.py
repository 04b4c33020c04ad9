"""How many images a second several workers train on one card: ``python benchmarks/gpu_packing.py`` prints a table.

Cells of ``lt-short`` (ResNet-32, ``psc``, batches of 128, bfloat16), one per worker, on CIFAR-100 at imbalance factor
100 from ``--data FOLDER``, or on noise of its size. Each line is one start of so many workers, timed for some seconds
once all of them train, evaluations between epochs included; first without NVIDIA's Multi-Process Service, then with it.
No such service of your own may run meanwhile. 80 to 100 seconds with the usual numbers.
"""

import argparse
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from headbench.core.streams import generator
from headbench.data import DATASETS, Dataset, ImageSet
from headbench.runners.execution import launch, workers
from headbench.runners.execution.options import RunOptions
from headbench.runners.execution.plan import Outlines, Planned
from headbench.runners.execution.sharing import memory, mps
from headbench.runners.training.history import Glimpse

TRAIN, TEST, CLASSES, SHAPE = 50_000, 10_000, 100, (3, 32, 32)
NOISE = "noise-of-cifar100"
# Seconds after the first steps of the last worker that are not timed.
WARM = 1.0


def noise(root: Path) -> Dataset:
    """Images of noise, as many as CIFAR-100 has."""
    drawn = generator(0, "noise")

    def part(count: int) -> ImageSet:
        images = torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8, generator=drawn)
        return ImageSet(images, torch.arange(count) % CLASSES)

    names = tuple(f"class {number}" for number in range(CLASSES))
    return Dataset(part(TRAIN), part(TEST), names, (0.5,) * SHAPE[0], (0.29,) * SHAPE[0])


# A worker has this file twice, as the main module and as a plug-in.
if NOISE not in DATASETS.names():
    DATASETS.register(NOISE, version=1, source="-")(noise)


class Enough(Exception):  # noqa: N818  # no error
    """The time is over."""


@dataclass
class Meter:
    """Counts the images of workers for some seconds, then ends them; an ``Events`` of the executor.

    Attributes:
        workers: that are waited for before the time begins.
        seconds: to count for.
        batch: images of a step.
        losses: training loss by cell and epoch.
        free: bytes of the device, at the end.
    """

    workers: int
    seconds: float
    batch: int
    losses: dict[tuple[str, int], float] = field(default_factory=dict)
    free: int = 0
    _begin: float | None = None
    _ready: set[str] = field(default_factory=set)
    _seen: dict[str, list[tuple[float, int]]] = field(default_factory=dict)

    def glimpse(self, planned: Planned, seen: Glimpse) -> None:
        """Count what a worker has trained so far.

        Raises:
            Enough: where the time is over.
        """
        now = time.perf_counter()
        if seen.step:
            self._ready.add(planned.cell_id)
        if self._begin is None:
            if len(self._ready) < self.workers:
                return
            self._begin = now + WARM
        if now < self._begin:
            return
        images = ((seen.epoch - 1) * seen.steps + seen.step) * self.batch
        self._seen.setdefault(planned.cell_id, []).append((now, images))
        if now >= self._begin + self.seconds:
            self.free = torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 0
            raise Enough

    @property
    def speeds(self) -> list[float]:
        """Images a second of each worker."""
        ends = [(seen[0], seen[-1]) for seen in self._seen.values() if seen[-1][1] > seen[0][1]]
        return [(last[1] - first[1]) / (last[0] - first[0]) for first, last in ends]

    def epoch(self, planned: Planned, row: dict[str, Any]) -> None:
        """Keep the loss of an epoch."""
        self.losses[planned.cell_id, row["epoch"]] = row["train_loss"]

    def failed(self, planned: Planned, message: str) -> None:
        """End the benchmark: nothing is to be measured beside a cell that failed."""
        raise SystemExit(f"a cell failed: {message}")

    def started(self, planned: Planned) -> None: ...

    def finished(self, planned: Planned, result: dict[str, Any]) -> None: ...

    def pruned(self, planned: Planned, message: str) -> None: ...

    def stopped(self, planned: Planned, message: str) -> None: ...


def prepared(data: Path | None, out: Path, most: int) -> launch.Launch:
    """Return the cells, one for each worker, ready to be trained."""
    grid = {
        "name": "packing",
        "recipe": {"base": "lt-short", "epochs": 1000},
        "projection": "none",
        "val_fraction": 0.02,
        "axes": {
            "dataset": [NOISE if data is None else "cifar100"],
            "imbalance_factor": [100],
            "backbone": [{"name": "resnet32", "shortcut": "A"}],
            "feature_dim": [64],
            "head": ["psc"],
            "seed": list(range(most)),
        },
    }
    own = () if data else (Path(__file__),)
    return launch.prepare(RunOptions(grid, data=data or out, out=out, workers=most, threads=1, plugins=own))


def measured(ready: launch.Launch, count: int, seconds: float, variables: dict[str, str], out: Path) -> Meter:
    """Train with so many workers for some seconds."""
    job = ready.job
    share = replace(job.share, workers=count)
    job = replace(job, out=out, share=share, environment=job.environment | variables)
    meter = Meter(count, seconds, ready.todo[0].cell.recipe.batch_size)
    with suppress(Enough):
        workers.run(job, ready.todo[:count], meter)
    return meter


def table(ready: launch.Launch, counts: list[int], seconds: float, folder: Path) -> None:
    """Print a line for each number of workers, without the service and with it."""
    one, losses = 0.0, dict[tuple[str, int], float]()
    print("| workers | MPS | images/s in all | per worker | against one | GiB per worker |\n|---|---|---|---|---|---|")
    device = ready.machine.device.type
    for with_service in (False, True):
        for count in counts:
            before = torch.cuda.mem_get_info()[0] if device == "cuda" else 0
            with mps.service(device if with_service else "cpu", count) as variables:
                if with_service and not variables:  # one worker alone has none, or it is not there
                    continue
                name = f"{count}-{with_service}"
                meter = measured(ready, count, seconds, variables, folder / name)
            if len(meter.speeds) < count:
                raise SystemExit(f"{count} workers: not all took steps within --seconds {seconds:g}; give more")
            total, each = sum(meter.speeds), (before - meter.free) / count / memory.GIB
            one = one or total / count
            print(
                f"| {count} | {'yes' if with_service else 'no'} | {total:,.0f} | {total / count:,.0f} "
                f"| {total / one:.2f} | {each:.2f} |",
                flush=True,
            )
            for key, loss in meter.losses.items():
                if losses.setdefault(key, loss) != loss:
                    print(f"epoch {key[1]} of {key[0]}: loss {loss!r} here, {losses[key]!r} before")
    print("\nThe losses of epochs that several lines have are the same bits, but for those that are named.")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Images a second of several workers on one card.")
    parser.add_argument("--data", type=Path, help="folder with CIFAR-100 (default: noise)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 12])
    parser.add_argument("--seconds", type=float, default=3.0, help="that each line is timed for (default: 3)")
    asked = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        ready = prepared(asked.data, Path(name), max(asked.workers))
        cell, device = ready.todo[0].cell, ready.machine.device
        need = memory.estimate(cell, Outlines(ready.job.root).of(cell), bf16=ready.machine.bf16)
        card = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        print(f"{card}, {ready.machine.precision}; estimated: {need / memory.GIB:.2f} GiB per worker\n")
        table(ready, asked.workers, asked.seconds, Path(name))
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
