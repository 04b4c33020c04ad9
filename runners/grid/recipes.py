"""Recipes: optimiser, schedule, epochs, batches and augmentation, each a YAML file in ``runners/recipes/``."""

import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from headbench.core import yaml_files
from headbench.core.errors import UserError, suggest
from headbench.core.numbers import Count, Few, Flag, Fraction, NonNegative, Number, Positive
from headbench.core.validation import Strict, fitting
from headbench.data.loading import policies
from headbench.data.loading.augment import Augmentation
from headbench.runners.grid.optimisers import Optimiser, Schedule

FOLDER = Path(__file__).parents[1] / "recipes"
TIMM_POLICIES = re.compile(r"(rand|augmix)-[a-z0-9.-]+|original|originalr|v0|v0r|3a")


def _policy(value: str) -> str:
    if value and not policies.NAMES.fullmatch(value) and not TIMM_POLICIES.fullmatch(value):
        raise ValueError(
            "none of autoaugment, randaugment-9 (magnitudes 0 to 30), trivial; of streamed images also timm's "
            "rand-m9-mstd0.5-inc1 and its like, augmix-..., original, originalr, v0, v0r, 3a"
        )
    return value


Policy = Annotated[str, BeforeValidator(lambda value: value or ""), AfterValidator(_policy)]


class Small(Strict):
    """Smaller images in the first epochs of each stage in which the backbone learns.

    Attributes:
        side: of the shorter edge in pixels, to which larger images are scaled.
        until: fraction of the epochs; the last one always has whole images.
    """

    side: Annotated[Count, Field(ge=2)]
    until: Fraction


class Normalisation(Strict):
    """Mean and standard deviation per channel, of pixels in [0, 1], that images are normalised by."""

    mean: tuple[Number, ...]
    std: tuple[Positive, ...]

    @model_validator(mode="after")
    def _of_the_same_channels(self) -> "Normalisation":
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} channels, std {len(self.std)}")
        return self


class Interval(Strict):
    """Where a search looks for a number: from ``low`` to ``high``, evenly in its logarithm with ``log``."""

    low: Number
    high: Number
    log: Flag = False

    @model_validator(mode="after")
    def _consistent(self) -> "Interval":
        if self.low >= self.high:
            raise ValueError("low is not below high")
        if self.log and self.low <= 0:
            raise ValueError("a logarithm needs a low above 0")
        return self


class Recipe(Strict):
    """How a cell is trained; equal for all heads of a grid.

    The fields of augmentation are those of :class:`headbench.data.loading.augment.Augmentation`.

    Attributes:
        epochs: passes over the training part.
        batch_size: images a step.
        accumulate: parts in which a batch goes through the network, one after the other, so that a large one fits into
            memory; the gradient is that of the whole where the loss is a mean over images. What is computed over a
            batch is then computed over a part: batch norm, statistics and contrasts of heads, sums of class weights.
        drop_last: leave out the last, smaller batch of an epoch.
        optimiser: ``sgd``, ``adamw``, or Muon with its settings.
        lr: peak learning rate; beside Muon, of what SGD takes.
        momentum: of SGD.
        nesterov: Nesterov's form of it.
        weight_decay: on every parameter.
        ema: decay of the moving average of the weights over the steps, 0 for none; the average is what is evaluated.
        schedule: of the learning rate.
        small: smaller images in the first epochs.
        normalisation: of the images; by default the data set's own statistics.
        loss_scale: default of the option of that name by the head's loss, since squared losses have another natural
            size than cross-entropy.
        search: where ``bench.py tune`` looks for better values of fields; no part of how a cell is trained.
    """

    epochs: Count
    batch_size: Count
    drop_last: Flag
    optimiser: Optimiser = "sgd"
    lr: Positive
    momentum: Annotated[Number, Field(ge=0, lt=1)]
    nesterov: Flag
    weight_decay: NonNegative
    schedule: Schedule
    pad: Few
    flip: Flag | Literal["alternating"]
    small: Small | None = None
    accumulate: Count = 1
    ema: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    cutout: Few = 0
    cutout_fill: Literal["mean", "black"] = "mean"
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0
    policy: Policy = ""
    color_jitter: NonNegative = 0.0
    random_erasing: Annotated[Number, Field(ge=0, le=1)] = 0.0
    normalisation: Normalisation | None = None
    loss_scale: dict[str, Positive] = Field({})
    search: dict[str, Interval] = Field({}, exclude=True)

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if self.optimiser != "adamw" and self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        if self.policy and self.color_jitter:
            raise ValueError("color_jitter is part of a policy; give one of the two")
        return self

    @field_validator("accumulate")
    @classmethod
    def _divides(cls, parts: int, fields: ValidationInfo) -> int:
        batch = fields.data.get("batch_size", parts)
        if batch % parts:
            near = min((n for n in range(1, batch + 1) if batch % n == 0), key=lambda n: abs(n - parts))
            raise ValueError(f"{parts} parts of a batch of {batch} are not equal; {near} would be")
        return parts

    @field_validator("search")
    @classmethod
    def _searchable(cls, search: dict[str, Interval], fields: ValidationInfo) -> dict[str, Interval]:
        known = [name for name, value in fields.data.items() if type(value) is float]
        for name, interval in search.items():
            if name not in known:
                raise ValueError(f"'{name}' is no field that a search can change; {suggest(name, known)}")
            for bound in (interval.low, interval.high):
                try:
                    cls(**(fields.data | {name: bound}))
                except ValidationError as error:
                    raise ValueError(f"{name}: {bound:g}: {error.errors()[0]['msg']}") from None
        return search

    def identity(self) -> dict[str, Any]:
        """Return the fields that say how a cell is trained, in JSON types.

        ``loss_scale`` is among the head's options already.

        Fields at their default are left out, so that a new one does not change what an old recipe is.
        """
        return self.model_dump(mode="json", exclude={"loss_scale"}, exclude_defaults=True)

    def augmentation(self) -> Augmentation:
        """Return what the loader does to training images."""
        return Augmentation(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Augmentation)})


def names() -> list[str]:
    """Return the names of the recipes that come with the harness."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str, changes: dict[str, Any], place: str) -> Recipe:
    """Return the recipe of that name with some fields changed.

    Raises:
        UserError: for an unknown name or field, or a value out of range.
    """
    if name not in names():
        raise UserError(f"{place}: unknown recipe '{name}'; {suggest(name, names())}")
    return change(_shipped(name), changes, f"{place}, recipe '{name}'")


def budgeted(name: str, place: str) -> tuple[str, dict[str, Any]]:
    """Return the recipe that a name with a budget stands on, and the epochs of that budget.

    Args:
        name: ``fast/4``, ``fast*2`` (a fourth of the epochs, twice as many, rounded, at least one) or a plain name.
        place: for messages.

    Returns:
        The plain name, and ``{"epochs": n}``, or nothing for a plain name.

    Raises:
        UserError: for a factor that is no number from 1 to 1,000, or an unknown recipe with a budget.
    """
    found = re.fullmatch(r"([^*/]+)([*/])(.*)", name)
    if not found:
        return name, {}
    base, sign, written = found.groups()
    factor = float(written) if re.fullmatch(r"\d{1,4}(\.\d+)?", written) else 0.0
    if not 1 <= factor <= 1000:
        raise UserError(
            f"{place}: recipe '{name}': '{written}' is no number from 1 to 1,000, as in {base}/4 or {base}*2"
        )
    epochs = load(base, {}, place).epochs * (factor if sign == "*" else 1 / factor)
    return base, {"epochs": max(1, round(epochs))}


@cache
def _shipped(name: str) -> Recipe:
    return Recipe(**yaml_files.read(FOLDER / f"{name}.yaml", f"recipe {name}.yaml"))


def change(recipe: Recipe, changes: dict[str, Any], place: str) -> Recipe:
    """Return a validated copy of the recipe with some fields changed.

    Raises:
        UserError: for an unknown field or a value out of range.
    """
    with fitting(Recipe, place):
        return Recipe(**({"search": recipe.search} | recipe.model_dump() | changes))
