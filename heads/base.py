"""The contract between a head and the runner."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets


class RecipeView(Protocol):
    """What a head may read of a recipe."""

    @property
    def epochs(self) -> int: ...
    @property
    def weight_decay(self) -> float: ...


@dataclass(frozen=True)
class Stage:
    """One stage of training, with a fresh optimiser and schedule.

    Attributes:
        name: shown in the history.
        epochs: length of the stage.
        overrides: recipe fields that differ in this stage (``{"lr": 0.01}``).
        sampler: ``instance`` visits every image once an epoch; ``class_balanced`` draws as many images, class first,
            with replacement.
        trainable: parts of the classifier that learn; the others are frozen and in eval mode.
        views: named views per sample, or None for the head's own.
    """

    name: str
    epochs: int
    overrides: dict[str, Any] = field(default_factory=dict)
    sampler: Literal["instance", "class_balanced"] = "instance"
    trainable: tuple[Literal["backbone", "projection", "head"], ...] = ("backbone", "projection", "head")
    views: tuple[str, ...] | None = None


def _no_collect(split: str, view: str) -> tuple[Tensor, Tensor, Tensor]:
    raise RuntimeError("this context has no data to collect from")


@dataclass(frozen=True)
class Context:
    """Where training stands, and what a head may ask of the runner.

    Attributes:
        stage: name of the stage.
        epoch: epoch within the stage, from 0.
        epochs: length of the stage.
        step: optimiser step within the stage, from 0.
        collect: ``collect(split, view)`` makes one eval-mode pass over ``"train"`` or ``"val"`` and returns features
            (N, d), labels (N,) and indices (N,).
    """

    stage: str = "train"
    epoch: int = 0
    epochs: int = 1
    step: int = 0
    collect: Callable[[str, str], tuple[Tensor, Tensor, Tensor]] = _no_collect

    def gather(self, x: Tensor, differentiable: bool = False) -> Tensor:
        """Return ``x`` of all devices concatenated along the first axis.

        The identity, since training runs on one device.
        """
        return x


class Head(nn.Module):
    """A classifier head: a submodule of the classifier, whole in its ``state_dict``.

    Subclasses take ``(info, feature_dim, *, options...)``, implement :meth:`logits` and :meth:`loss`, and override what
    else they need. In ``logits``, ``loss`` and ``observe`` nothing may wait for the device: no ``.item()``, no
    ``.cpu()``, no boolean-mask indexing, no Python branch on a tensor's value.

    Attributes:
        views: class level, the named views that this head wants of each sample.
        named: class level, options that the head's label names even where they have their default.
    """

    views: tuple[str, ...] = ("weak",)
    named: tuple[str, ...] = ()

    @property
    def native_scale(self) -> float:
        """The scale s inside :meth:`logits`; ``logits / native_scale`` are the unscaled scores of the ``raw``
        calibration view.
        """
        return 1.0

    @classmethod
    def options(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Return every option: as given, or else with its default in the signature of ``__init__``, the one place of
        defaults.
        """
        parameters = inspect.signature(cls.__init__).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is not p.empty} | given

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, **hyperparameters: Any) -> str | None:
        """Return why this head does not apply to these data and this d, or None where it does."""
        return None

    @classmethod
    def files(cls, **hyperparameters: Any) -> dict[str, Path]:
        """Return the files that options name, by option: a cell is known by what is in them, not by where they are."""
        return {}

    @classmethod
    def loss_name(cls, **hyperparameters: Any) -> str:
        """Return the name of the loss under these options: a recipe gives the default of ``loss_scale`` by it."""
        return "cross-entropy"

    @classmethod
    def stages(cls, recipe: RecipeView) -> list[Stage]:
        """Return the stages of training; by default one, the recipe itself."""
        return [Stage("train", recipe.epochs)]

    def logits(self, features: Tensor) -> Tensor:
        """Map features (B, d) to scores (B, C) whose softmax are this head's probabilities."""
        raise NotImplementedError

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Map features (V, B, d) to a scalar: the batch mean times the head's documented ``loss_scale``.

        Pure: writes no state.
        """
        raise NotImplementedError

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """See the features (V, B, d) once a step, before :meth:`loss`, without gradient: the only place where running
        statistics move.
        """

    def after_step(self) -> None:
        """Run after each optimiser step (retractions)."""

    def on_epoch_start(self, context: Context) -> dict[str, float]:
        """Do an epoch's host work (re-assignment, re-clustering); return what to log in ``history.csv``."""
        return {}

    def on_epoch_end(self, context: Context) -> dict[str, float]:
        """Return what to log after an epoch; evaluation sees the state that the last optimiser step left."""
        return {}

    def finalize(self, context: Context) -> None:
        """Fit what is fitted after training (on train or validation, never test), on the weights of each recorded
        selection.
        """

    def parameter_groups(self, recipe: RecipeView) -> Iterable[dict[str, Any]]:
        """Return the head's parameters as optimiser groups."""
        return [{"params": list(self.parameters())}]

    def prototypes(self) -> Tensor | None:
        """Return one vector per class (C, d), in class order, for the geometry report, or None."""
        return None
