"""The stages of a cell's training, each with its recipe."""

import math

from headbench.core.errors import UserError, at
from headbench.data.loading.samplers import SAMPLERS
from headbench.data.loading.views import FILE_VIEWS, VIEWS
from headbench.heads import Head, Stage
from headbench.runners.grid import recipes
from headbench.runners.grid.asking import ask
from headbench.runners.grid.cells import Cell
from headbench.runners.grid.optimisers import OneCycle
from headbench.runners.grid.recipes import Recipe


def stage_plan(cell: Cell, head: type[Head], train_size: int) -> list[tuple[Stage, Recipe]]:
    """Return the stages of a cell with the recipe of each.

    Args:
        cell: the cell.
        head: its class.
        train_size: images in the training part.

    Raises:
        UserError: if a stage's overrides, views or sampler are unknown, or its batches would be empty.
    """
    plan = []
    for stage in ask(cell.head, head, "stages", cell.recipe, cell.head_options):
        place = f"head '{cell.head}', stage '{stage.name}'"
        recipe = recipes.change(cell.recipe, stage.overrides, place)
        _check_names(stage, place)
        _check_steps(stage, recipe, train_size, place)
        if cell.freeze == "backbone" or not any(name.partition(".")[0] == "backbone" for name in stage.trainable):
            # What is fitted to a network that stays as it is, is fitted to images of the size that it is judged by.
            recipe = recipe.model_copy(update={"small": None})
        plan.append((stage, recipe))
    if not plan:
        raise UserError(f"head '{cell.head}': no stages; a head has at least one")
    return plan


def side(recipe: Recipe, epoch: int, epochs: int, image_shape: tuple[int, int, int]) -> int | None:
    """Return the side in pixels to which an epoch, counted from 0, scales images of a shape, None where it does not."""
    small = recipe.small
    if small is None or epoch >= int(small.until * epochs) or small.side >= min(image_shape[1:]):
        return None
    return small.side


def _check_names(stage: Stage, place: str) -> None:
    with at(place):
        _ = SAMPLERS.get(stage.sampler), [VIEWS.get(view) for view in stage.views if view not in FILE_VIEWS]
    if not stage.views:
        raise UserError(f"{place}: no views; a stage shows at least one of {', '.join(VIEWS.names())}")


def _check_steps(stage: Stage, recipe: Recipe, train_size: int, place: str) -> None:
    if type(stage.epochs) is not int or stage.epochs < 1:
        raise UserError(f"{place}: {stage.epochs} epochs; a stage has at least 1, and a whole number")
    if recipe.drop_last and train_size < recipe.batch_size:
        raise UserError(
            f"{place}: batch_size {recipe.batch_size} is more than the {train_size} training images, and drop_last is "
            f"set; lower it (--set recipe.batch_size={max(train_size // 2, 1)})"
        )
    whole, rest = divmod(train_size, recipe.batch_size)
    steps = stage.epochs * (whole if recipe.drop_last else whole + math.ceil(rest / recipe.batch_size))
    if isinstance(recipe.schedule, OneCycle) and recipe.schedule.warmup * steps <= 1:
        raise UserError(
            f"{place}: {steps} steps are too few for a warm-up of {recipe.schedule.warmup:g} of them; raise "
            f"recipe.epochs or lower recipe.batch_size"
        )
