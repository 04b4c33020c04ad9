"""What a head lets a search change: the intervals and choices that its ``search_space`` asks for."""

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


class Recorder:
    """A trial that remembers what is asked of it, and suggests the least of everything.

    Attributes:
        asked: by the name of what is searched.
    """

    def __init__(self) -> None:
        self.asked: dict[str, BaseDistribution] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Remember an interval."""
        self.asked[name] = FloatDistribution(low, high, log, step)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Remember an interval of whole numbers."""
        self.asked[name] = IntDistribution(low, high, log, step)
        return low

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Remember choices."""
        self.asked[name] = CategoricalDistribution(choices)
        return choices[0]


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Say whether a value is one that a search may find."""
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:
        return False
