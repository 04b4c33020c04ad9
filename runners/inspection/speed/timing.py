"""Wall-clock time of what runs on a device."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch

# What is measured, once: seconds by name.
Action = Callable[[], dict[str, float]]


class Watch:
    """Seconds by name, as they are spent; what the device has begun is waited for.

    Args:
        device: to wait for.

    Attributes:
        spent: seconds by name.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.spent = device, dict[str, float]()
        self._last = self._now()

    def lap(self, name: str) -> None:
        """Add what has passed since the last lap, or since the start, to a name."""
        now = self._now()
        self.spent[name] = self.spent.get(name, 0.0) + now - self._last
        self._last = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def medians(actions: Sequence[Action], repetitions: int) -> dict[str, float]:
    """Return the median seconds of actions that take turns, so that a machine that slows down slows all of them.

    A first round more makes everything warm, and does not count.

    Args:
        actions: each returns seconds under names of its own.
        repetitions: rounds that count.
    """
    rounds = [{name: value for action in actions for name, value in action().items()} for _ in range(1 + repetitions)]
    return {name: statistics.median(each[name] for each in rounds[1:]) for name in rounds[0]}
