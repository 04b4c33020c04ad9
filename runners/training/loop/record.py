"""What is known of an epoch while it runs: enough to go on in the middle of it."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from headbench.runners.training import health


@dataclass
class Record:
    """The record of an epoch under way. The device is waited for only where it is read or kept.

    Attributes:
        begun: columns of the history that were known before the first step.
        logged: what the head logged then.
        total: sum of the losses, 0-dim, on the device.
        losses: of each step so far.
        norms: of each step's gradient.
        images: so far.
        earlier: seconds that were spent on these steps before this process had the epoch.
    """

    begun: dict[str, Any]
    logged: dict[str, float]
    total: Tensor
    losses: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    images: int = 0
    earlier: float = 0.0

    def __post_init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def steps(self) -> int:
        """Steps so far."""
        return len(self.losses)

    @property
    def seconds(self) -> float:
        """Seconds so far, of all processes that had the epoch."""
        return self.earlier + time.perf_counter() - self._start

    def add(self, loss: Tensor, norm: Tensor, images: int) -> None:
        """Take up a step."""
        self.total += loss
        self.losses.append(loss)
        self.norms.append(norm)
        self.images += images

    def row(self) -> dict[str, Any]:
        """Return the epoch's columns once its steps are done: mean loss, images, seconds and record of health."""
        mean = self.total.item() / self.steps
        row = {"train_loss": mean, "images": self.images, "seconds": self.seconds}
        return row | health.of_epoch(self.losses, self.norms)

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`from_state` takes."""
        return {
            "begun": self.begun,
            "logged": self.logged,
            "total": self.total.to("cpu", copy=True),
            "losses": torch.stack(self.losses).cpu(),
            "norms": torch.stack(self.norms).cpu(),
            "images": self.images,
            "earlier": self.seconds,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], device: torch.device) -> "Record":
        """Return the record that gave a state, after at least one step."""
        moved = {name: state[name].to(device) for name in ("total", "losses", "norms")}
        lists = {name: list(moved[name].unbind()) for name in ("losses", "norms")}
        return cls(**(state | moved | lists))
