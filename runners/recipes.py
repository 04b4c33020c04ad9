"""Recipes: optimiser, schedule, epochs, batches and augmentation, each a YAML file in ``runners/recipes/``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from core.errors import UserError, one_line, suggest

FOLDER = Path(__file__).parent / "recipes"
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Strict(BaseModel):
    """A frozen model in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OneCycle(Strict):
    """Cosine from lr/25 up to lr in the first ``warmup`` of all steps, then down to about zero (torch's OneCycleLR)."""

    name: Literal["one_cycle"]
    warmup: Fraction


class MultiStep(Strict):
    """Multiply the learning rate by ``gamma`` at each of ``milestones``, fractions of the epochs."""

    name: Literal["multi_step"]
    milestones: tuple[Fraction, ...]
    gamma: PositiveFloat


class Recipe(Strict):
    """How a cell is trained; equal for all heads of a grid.

    Attributes:
        epochs: passes over the training part.
        batch_size: images a step.
        drop_last: leave out the last, smaller batch of an epoch.
        lr: peak learning rate of SGD.
        momentum: of SGD.
        nesterov: Nesterov's form of it.
        weight_decay: on every parameter.
        schedule: of the learning rate.
        pad: zero pixels around an image before the random crop; 0 crops nothing.
        flip: mirror left-right with probability 1/2.
        loss_scale: default of the option of that name for the heads listed, since squared losses have another natural size than cross-entropy.
    """

    epochs: PositiveInt
    batch_size: PositiveInt
    drop_last: bool
    lr: PositiveFloat
    momentum: NonNegativeFloat
    nesterov: bool
    weight_decay: NonNegativeFloat
    schedule: Annotated[OneCycle | MultiStep, Field(discriminator="name")]
    pad: NonNegativeInt
    flip: bool
    loss_scale: dict[str, PositiveFloat] = {}

    def identity(self) -> dict[str, Any]:
        """Return the fields that say how a cell is trained, in JSON types; ``loss_scale`` is among the head's options already."""
        return self.model_dump(mode="json", exclude={"loss_scale"})


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
    fields = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return change(Recipe(**fields), changes, f"{place}, recipe '{name}'")


def change(recipe: Recipe, changes: dict[str, Any], place: str) -> Recipe:
    """Return a validated copy of the recipe with some fields changed.

    Raises:
        UserError: for an unknown field or a value out of range.
    """
    try:
        return Recipe(**(recipe.model_dump() | changes))
    except ValidationError as error:
        raise UserError(one_line(error, Recipe, place)) from None
