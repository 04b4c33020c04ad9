"""What the tests of the runner share: small cells on the real digits."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from headbench.data.splits import Protocol, partition
from headbench.heads import HEADS
from headbench.runners.execution import plan, queue
from headbench.runners.grid import config
from headbench.runners.grid.cells import Cell
from headbench.runners.training import parts
from headbench.runners.training.checkpoint import Checkpoints
from headbench.runners.training.data import Data
from headbench.runners.training.hardware import Hardware
from headbench.runners.training.parts import Parts
from headbench.runners.training.train import Training, resume
from tests.heads.throwaway import ThrowawayHead

CPU = Hardware(torch.device("cpu"), torch.get_num_threads(), bf16=False)
TINY = {"name": "fast_convnet", "widths": [4, 6, 8]}
# With factors of its own, so that tuning the recipe changes no test.
QUICK = {
    "base": "fast",
    "epochs": 2,
    "batch_size": 128,
    "lr": 0.05,
    "pad": 1,
    "flip": False,
    "loss_scale": {"squared-cosine": 8, "dot-regression": 16},
}

if "throwaway" not in HEADS.names():
    HEADS.register("throwaway", version=1, paper="-", source="-", deviations="-")(ThrowawayHead)


def grid(**changes: Any) -> dict[str, Any]:
    """A grid file's contents for one small cell; ``axes`` are merged."""
    axes = {"dataset": ["digits"], "backbone": [TINY], "head": ["psc"], "feature_dim": [5]} | changes.pop("axes", {})
    return {"name": "tiny", "recipe": QUICK, "axes": axes} | changes


def cells(**changes: Any) -> list[Cell]:
    """The cells of such a grid."""
    return config.expand(config.parse_grid(grid(**changes), "grid tiny"), "fp32")


def cell(head: str | dict[str, Any] = "psc", **changes: Any) -> Cell:
    """One small cell."""
    axes = {"head": [head]} | changes.pop("axes", {})
    (one,) = cells(axes=axes, **changes)
    return one


@cache
def digits(val_fraction: float = 0.1) -> Parts:
    """The digits, split."""
    dataset = parts.load("digits", {}, Path())
    return parts.lay(dataset, partition(dataset, Protocol(val_fraction)), None, CPU.device)


def train(
    cell: Cell,
    parts: Parts,
    hardware: Hardware,
    on_epoch: Callable[[dict[str, Any]], None],
    checkpoints: Checkpoints | None = None,
) -> Training:
    """The training of a cell, to its end, from its checkpoint where it has one."""
    training = Training(cell, parts, hardware) if checkpoints is None else resume(cell, parts, hardware, checkpoints)
    training.run(on_epoch, checkpoints)
    return training


def planned(*cells: Cell) -> list[plan.Planned]:
    """The plan of such cells."""
    return plan.make(list(cells), Path())


def way(out: Path, events: Any, *, wait: bool = True) -> queue.Way:
    """How such cells are trained in this process."""
    return queue.Way(out, CPU, Data(Path(), CPU.device), events, keep_weights=False, wait=wait)
