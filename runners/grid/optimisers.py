"""Optimisers, and schedules of the learning rate, that a recipe can name."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from headbench.core.errors import suggest
from headbench.core.numbers import Count, Few, Fraction, Number, Positive
from headbench.core.validation import Strict


class OneCycle(Strict):
    """Cosine from lr/25 up to lr in the first ``warmup`` of all steps, then down to about zero (torch's OneCycleLR)."""

    name: Literal["one_cycle"]
    warmup: Fraction


class MultiStep(Strict):
    """Multiply the learning rate by ``gamma`` at each of ``milestones``, fractions of the epochs.

    In the first ``warmup_epochs`` the rate is lr (e + 1) / warmup_epochs, with e the epoch from 0.
    """

    name: Literal["multi_step"]
    milestones: tuple[Fraction, ...]
    gamma: Positive
    warmup_epochs: Few = 0


class Cosine(Strict):
    """Rise linearly from ``warmup_start`` x lr to lr in the first ``warmup_epochs``, then fall as a cosine to zero.

    Stepwise.
    """

    name: Literal["cosine"]
    warmup_epochs: Few = 0
    warmup_start: Annotated[Number, Field(gt=0, le=1)] = 0.01


class Trapezoid(Strict):
    """Rise linearly to lr in the first ``up`` of all steps, stay there, and fall linearly to about zero in the last
    ``down`` of them.
    """

    name: Literal["trapezoid"]
    up: Fraction
    down: Fraction

    @model_validator(mode="after")
    def _fits(self) -> "Trapezoid":
        if self.up + self.down > 1:
            raise ValueError(f"up and down are together {self.up + self.down:g} of the steps; at most 1")
        return self


class Muon(Strict):
    """Muon for the weights of the backbone's layers and of the projection; the recipe's SGD for all else.

    Attributes:
        lr_factor: peak learning rate of those weights by the recipe's ``lr``, so that one number scales both.
        momentum: of those weights.
        steps: of Newton and Schulz.
    """

    name: Literal["muon"]
    lr_factor: Positive
    momentum: Annotated[Number, Field(ge=0, lt=1)]
    steps: Count


Plain = Literal["sgd", "adamw"]


def _by_name(*kinds: type[Strict], plain: tuple[str, ...] = ()) -> BeforeValidator:
    """Return what reads a kind by its name, alone or among fields: a word stands for a mapping of nothing but it.

    Args:
        kinds: with fields.
        plain: names of kinds that have none, and are words again.
    """
    known = (*plain, *(name for kind in kinds for name in get_args(kind.model_fields["name"].annotation)))

    def read(value: Any) -> Any:
        if not isinstance(value, str | dict):
            return value
        fields = {"name": value} if isinstance(value, str) else value
        if "name" not in fields:
            raise ValueError(f"a name is missing, one of {', '.join(known)}")
        name = fields["name"]
        if name not in known:
            raise ValueError(f"unknown '{name}'; {suggest(str(name), known)}")
        if name not in plain:
            return fields
        if own := sorted(map(str, fields.keys() - {"name"})):
            raise ValueError(f"{name} has no fields of its own, and so no '{own[0]}'")
        return name

    return BeforeValidator(read)


Schedule = Annotated[
    OneCycle | MultiStep | Cosine | Trapezoid,
    Field(discriminator="name"),
    _by_name(OneCycle, MultiStep, Cosine, Trapezoid),
]
# A word, or Muon: a mistake is that of the one that was meant.
Optimiser = Annotated[
    Annotated[Plain, Tag("name")] | Annotated[Muon, Tag("muon")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "muon"),
    _by_name(Muon, plain=get_args(Plain)),
]
