"""The contract between a head and the runner."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from types import FunctionType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from headbench.core.batch import DataInfo, Targets

# A head's resolved options: every one by name, with its value. Defaults stand in the signature of ``__init__`` only.
Options = Mapping[str, Any]
# Devices whose autocast a head leaves.
AUTOCAST = ("cpu", "cuda", "mps")
# Why a head that sees the direction of a feature alone does not apply at d = 1.
ONE_DIMENSION = "it sees a feature's direction, and in one dimension that is only its sign; it needs d >= 2"


class RecipeView(Protocol):
    """What a head may read of a recipe."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def weight_decay(self) -> float: ...


@dataclass(frozen=True)
class Stage:
    """One stage of training, with a fresh optimiser and schedule.

    Attributes:
        name: shown in the history.
        epochs: length of the stage, at least 1.
        overrides: recipe fields that differ in this stage (``{"lr": 0.01}``).
        sampler: ``instance`` visits every image once an epoch; ``class_balanced`` draws as many images, class first,
            with replacement.
        views: named views of each sample. The first is the one to classify, the only one that mixup and CutMix touch.
        trainable: prefixes of the names of the parameters that learn (``"backbone"``, ``"projection"``,
            ``"head.scale"``), but for those that the head froze itself. The others are frozen, and what holds only
            such parameters is in eval mode.
    """

    name: str
    epochs: int
    overrides: dict[str, Any] = field(default_factory=dict)
    sampler: str = "instance"
    views: tuple[str, ...] = ("weak",)
    trainable: tuple[str, ...] = ("backbone", "projection", "head")


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
        collect: ``collect(split, view)`` makes one eval-mode pass over ``"train"`` or ``"val"``, shown in a named view,
            and returns features (N, d), labels (N,) and indices (N,); what was in training mode is so again.
    """

    stage: str = "train"
    epoch: int = 0
    epochs: int = 1
    step: int = 0
    collect: Callable[[str, str], tuple[Tensor, Tensor, Tensor]] = _no_collect

    def gather(self, x: Tensor, differentiable: bool = False) -> Tensor:
        """Return ``x`` of all devices concatenated along the first axis, in the order of the batch.

        The identity, since a head is shown the features of the whole batch, whatever devices they come from.
        """
        return x


def _in_float32(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of features that leaves autocast, and takes features of half precision as float32 there."""

    @wraps(method)
    def computed(self: "Head", features: Tensor, *rest: Any, **named: Any) -> Any:
        # A device that knows no autocast may not be asked for it.
        on = [kind for kind in AUTOCAST if torch.is_autocast_enabled(kind)]
        if not on or features.device.type not in on:
            return method(self, features, *rest, **named)
        with torch.autocast(features.device.type, enabled=False):
            wide = features.to(torch.promote_types(features.dtype, torch.float32))
            return method(self, wide, *rest, **named)

    return computed


class Head(nn.Module):
    """A classifier head: a submodule of the classifier, whole in its ``state_dict``.

    Subclasses take ``(info, feature_dim, *, options...)``, implement :meth:`logits` and :meth:`loss`, and override what
    else they need. In ``logits``, ``loss`` and ``observe`` nothing may wait for the device: no ``.item()``, no
    ``.cpu()``, no boolean-mask indexing, no Python branch on a tensor's value. The three compute in float32 under
    autocast too.

    Attributes:
        named: class level, options that the head's label names even where they have their default.
        directional: class level, whether a feature's direction is all that the head sees of it, whatever its options:
            in one dimension that is its sign, through which no gradient comes, and the head does not apply.
    """

    named: tuple[str, ...] = ()
    directional: bool = False

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        for name in ("logits", "loss", "observe"):
            owner = next(one for one in cls.__mro__ if name in vars(one))
            # Another head's has been wrapped before; a mixin's has not.
            if (owner is cls or not issubclass(owner, Head)) and isinstance(vars(owner)[name], FunctionType):
                setattr(cls, name, _in_float32(vars(owner)[name]))

    @property
    def native_scale(self) -> float:
        """The scale s inside :meth:`logits`; ``logits / native_scale`` are the unscaled scores of the ``raw``
        calibration view.
        """
        return 1.0

    @classmethod
    def supports(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return why this head does not apply to these data and this d, or None where it does."""
        return None

    @classmethod
    def inapplicable(cls, info: DataInfo, feature_dim: int, options: Options) -> str | None:
        """Return what :meth:`supports` does, and that a directional head needs two dimensions."""
        reason = cls.supports(info, feature_dim, options)
        return ONE_DIMENSION if reason is None and cls.directional and feature_dim == 1 else reason

    @classmethod
    def files(cls, options: Options) -> dict[str, Path]:
        """Return the files that options name, by option: a cell is known by what is in them, not by where they are."""
        return {}

    @classmethod
    def loss_name(cls, options: Options) -> str:
        """Return the name of the loss under these options: a recipe gives the default of ``loss_scale`` by it."""
        return "cross-entropy"

    @classmethod
    def stages(cls, recipe: RecipeView, options: Options) -> list[Stage]:
        """Return the stages of training; by default one, the recipe itself.

        Evaluation and selection happen in the last one.
        """
        return [Stage("train", recipe.epochs)]

    @classmethod
    def search_space(cls, trial: Any, options: Options) -> dict[str, Any]:
        """Return the options that a search changes, with what an Optuna trial suggests for each; by default none.

        At most three, since a search has five parameters at most and recipes have two. A trial suggests each by the
        option's name, with the option's own value in its range: there the search begins. Where that is None, what
        ``__init__`` makes of it is the head's attribute of that name.
        """
        return {}

    def logits(self, features: Tensor) -> Tensor:
        """Map features (B, d) to scores (B, C) whose softmax are this head's probabilities."""
        raise NotImplementedError

    def loss(self, features: Tensor, targets: Targets, context: Context) -> Tensor:
        """Map features (V, B, d) to a scalar: the batch mean times the head's documented ``loss_scale``.

        Pure: writes no state.
        """
        raise NotImplementedError

    def observe(self, features: Tensor, targets: Targets, context: Context) -> None:
        """See the features (V, B, d) once a step, with ``accumulate`` once a part of it, before :meth:`loss`, without
        gradient: the only place where running statistics move.
        """

    def after_step(self) -> None:
        """Run after each optimiser step (retractions), and on averaged weights before they are evaluated."""

    def on_stage_start(self, context: Context) -> None:
        """Begin a stage, before its optimiser is made; what learns in it may be initialised anew, in place."""

    def on_epoch_start(self, context: Context) -> dict[str, float]:
        """Do an epoch's host work (re-assignment, re-clustering); return what to log in ``history.csv``."""
        return {}

    def on_epoch_end(self, context: Context) -> dict[str, float]:
        """Return what to log after an epoch; evaluation sees the state that the last optimiser step left."""
        return {}

    def finalize(self, context: Context) -> dict[str, float]:
        """Fit what is fitted after training (on train or validation, never test), on the weights of each recorded
        selection; return what ``result.json`` keeps of it.

        Raises:
            UserError: where it cannot be fitted; then that selection is absent, and the message says why.
        """
        return {}

    def parameter_groups(self, recipe: RecipeView, stage: Stage) -> Iterable[dict[str, Any]]:
        """Return all of the head's parameters as optimiser groups; those that do not learn in a stage are left out
        later.

        Args:
            recipe: of the stage.
            stage: which is about to begin.
        """
        return [{"params": list(self.parameters())}]

    def prototypes(self) -> Tensor | None:
        """Return one vector per class (C, d), in class order, for the geometry report, or None."""
        return None
