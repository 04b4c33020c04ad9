"""What is known of a cell while it is trained: ``history.csv`` grows by a line per epoch, readable at any moment, and
glimpses tell how an epoch goes on.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from headbench.results import store

NAME = "history.csv"
# Between two glimpses.
SECONDS = 0.4


class Log:
    """The file of a cell's history.

    Args:
        folder: of the cell.
        rows: one per epoch, as they come; each has its own columns, and what it lacks stays empty in the file.
    """

    def __init__(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        self.path, self.rows = folder / NAME, rows
        self._written: list[str] = []

    def write(self) -> None:
        """Write all rows."""
        frame = pd.DataFrame(self.rows)
        store.write_text(self.path, frame.to_csv(index=False))
        self._written = list(frame.columns)

    def append(self) -> None:
        """Add the newest row to the file.

        The first time, which may be after a resume, and where the row has a new column, write all of them.
        """
        if not set(self.rows[-1]) <= set(self._written):
            self.write()
            return
        line = pd.DataFrame([self.rows[-1]], columns=self._written).to_csv(index=False, header=False)
        with self.path.open("a") as file:
            file.write(line)


@dataclass(frozen=True)
class Glimpse:
    """Where an epoch stands.

    Attributes:
        epoch: its number in the training, from 1.
        step: steps whose loss is known.
        steps: of the epoch.
        loss: their mean, None before the first.
        speed: training images per second of these steps, None before the first.
    """

    epoch: int
    step: int
    steps: int
    loss: float | None = None
    speed: float | None = None


class Glimpses:
    """Tells of one epoch: at its start, after its first step, then a few times a second.

    The device is never waited for, and nothing that is trained notices.

    Args:
        tell: called with each glimpse.
        epoch: its number, from 1.
        steps: of the epoch.
        device: where losses are.
    """

    def __init__(self, tell: Callable[[Glimpse], None], epoch: int, steps: int, device: torch.device) -> None:
        self.tell, self.epoch, self.steps = tell, epoch, steps
        self.start, self.last = time.perf_counter(), -math.inf
        on_gpu = device.type == "cuda"
        self._held = torch.zeros((), pin_memory=on_gpu)
        self._copied: Any = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        # Steps and images of the sum that is on its way here.
        self._asked: tuple[int, int] | None = None
        tell(Glimpse(epoch, 0, steps))

    def offer(self, total: Tensor, step: int, images: int) -> None:
        """Look at the epoch, if it is time to.

        Args:
            total: sum of the losses so far, a scalar on the device.
            step: steps so far.
            images: images so far.
        """
        now = time.perf_counter()
        if self._asked is None and now - self.last >= SECONDS:
            self._held.copy_(total, non_blocking=True)
            if self._copied is not None:
                self._copied.record()
            self._asked, self.last = (step, images), now
        if self._asked is not None and (self._copied is None or self._copied.query()):
            (step, images), self._asked = self._asked, None
            self.tell(Glimpse(self.epoch, step, self.steps, self._held.item() / step, images / (now - self.start)))
