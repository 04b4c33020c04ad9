"""What heads share that learn a network first and then, on its frozen features, a balanced classifier."""

from typing import Annotated

from pydantic import Field

from headbench.heads.base import RecipeView, Stage

Fraction = Annotated[float, Field(gt=0, lt=1)]
REPRESENTATION, CLASSIFIER = "representation", "classifier"


def two_stages(
    recipe: RecipeView, second_fraction: float, first: tuple[str, ...], second: tuple[str, ...]
) -> list[Stage]:
    """Return a stage on all images and one on class-balanced batches, together as long as the recipe; of one epoch each
    has one.

    The second one, at least one epoch, has the recipe's learning rate anew, and a cosine as schedule. What does not
    learn in a stage is in eval mode.

    Args:
        recipe: of the training.
        second_fraction: of its epochs, for the second stage.
        first: what learns in the first stage, prefixes of parameters' names.
        second: what learns in the second stage.

    Source: Kang et al., ICLR 2020: instance-balanced sampling, then class-balanced sampling with the same rate.
    """
    length = max(1, round((1 - second_fraction) * recipe.epochs))
    return [
        Stage(REPRESENTATION, length, trainable=first),
        Stage(
            CLASSIFIER,
            max(1, recipe.epochs - length),
            {"schedule": {"name": "cosine"}},
            sampler="class_balanced",
            trainable=second,
        ),
    ]
