"""The studies of a search in their storage: started, asked for trials, told how these ended."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from headbench.core.errors import StoppedError, UserError, typed_reason
from headbench.core.streams import derive
from headbench.results.tuning.searches import OBJECTIVES
from headbench.runners.execution.plan import Planned
from headbench.runners.search.space import Space

# Trials of random values before TPE guides, and finished trials before the median prunes.
RANDOM, UNPRUNED = 5, 4
# Part of the epochs in which nothing is pruned.
PATIENCE = 0.25
LONGEST_LABEL = 100
# Failed trials for each that is wanted, before a study is given up that has any other.
MOST_FAILED = 3
ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
# Objectives that a trial's history has.
EVERY_EPOCH = ("val_top1", "val_nll")


@dataclass(frozen=True)
class Asked:
    """What a search is asked for.

    Attributes:
        trials: that each study has in the end, completed or pruned.
        objectives: columns of :data:`headbench.results.tuning.searches.OBJECTIVES`.
        seed: of the sampler.
        cell_seed: that every trial is trained with.
    """

    trials: int
    objectives: tuple[str, ...]
    seed: int
    cell_seed: int

    @property
    def prunes(self) -> bool:
        """Whether trials are pruned: where there is one objective, and it is measured after every epoch."""
        return len(self.objectives) == 1 and self.objectives[0] in EVERY_EPOCH


@dataclass(frozen=True)
class Ending:
    """How a trial has ended.

    Attributes:
        measured: on validation, after the last epoch.
        error: why it failed or was pruned.
        pruned: whether it was pruned.
        marks: of its health.
    """

    measured: dict[str, Any]
    error: str | None = None
    pruned: bool = False
    marks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes:
        base: the cell of the grid's own values.
        space: what is changed of it.
        kept: in the storage.
        asked: what is asked for.
        forgiven: trials that had failed before, and are not held against it.
    """

    base: Planned
    space: Space
    kept: optuna.Study
    asked: Asked
    forgiven: int = 0

    @property
    def name(self) -> str:
        """Its name in the storage."""
        return self.kept.study_name

    def of_state(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials of some states, in the order in which they were asked for."""
        return self.kept.get_trials(deepcopy=False, states=states)

    @property
    def cells(self) -> list[str]:
        """The identities of the cells of its trials."""
        told = (trial.user_attrs.get("cell_id") for trial in self.kept.get_trials(deepcopy=False))
        return [cell_id for cell_id in told if cell_id is not None]

    @property
    def ended(self) -> int:
        """How many trials count: those that were completed or pruned."""
        return len(self.of_state(*ENDED))

    @property
    def wants(self) -> int:
        """How many trials may still be asked for; none where so many have failed that it is the head's doing."""
        return 0 if self.given_up else max(self.asked.trials - self.ended - len(self.of_state(TrialState.RUNNING)), 0)

    @property
    def given_up(self) -> bool:
        """Whether it has not all trials, and so many have failed that no more are asked for."""
        ended, failed = self.ended, len(self.of_state(TrialState.FAIL)) - self.forgiven
        return ended < self.asked.trials and failed >= self.asked.trials * (MOST_FAILED if ended else 1)

    def ask(self) -> Trial:
        """Return a new trial with its values. Its random numbers follow from its number alone, so that a search that
        was stopped goes on as if it had not been.
        """
        self.kept.sampler = self._sampler(len(self.kept.get_trials(deepcopy=False)))
        return self.kept.ask(self.space.distributions)

    def again(self, trial: FrozenTrial) -> Trial:
        """Return a trial that was asked for before, by a process that may have died before it had all values.

        Values that it has are drawn again and thrown away, so that the others are drawn as they would have been.
        """
        self.kept.sampler = self._sampler(trial.number)
        taken_up, missing = Trial(self.kept, trial._trial_id), len(trial.params) < len(self.space.distributions)
        for name, distribution in self.space.distributions.items():
            drawn = missing and not distribution.single() and not taken_up._is_fixed_param(name, distribution)
            if drawn and name in trial.params and not taken_up._is_relative_param(name, distribution):
                self.kept.sampler.sample_independent(self.kept, trial, name, distribution)
            taken_up._suggest(name, distribution)
        return taken_up

    def _sampler(self, number: int) -> TPESampler:
        seed = derive(self.asked.seed, "search", number) % 2**32
        return TPESampler(n_startup_trials=RANDOM, constant_liar=True, seed=seed)

    def report(self, trial: Trial, history: Sequence[dict[str, float]], epochs: int) -> str | None:
        """Tell the storage of the epochs that a trial has finished; return why it is to be pruned, or None.

        Never at the last epoch: what is trained is not thrown away.

        Args:
            trial: of this study.
            history: its rows, of which those of the last stage have the objective.
            epochs: that it has in all.
        """
        if not self.asked.prunes:
            return None
        (objective,), known = self.asked.objectives, self.kept._storage.get_trial(trial._trial_id).intermediate_values
        measured = {int(row["epoch"]): row[objective] for row in history if not math.isnan(row[objective])}
        for epoch, value in measured.items():
            if epoch not in known:
                trial.report(value, epoch)
        newest = max(measured, default=epochs)
        if newest >= epochs or not trial.should_prune():
            return None
        return f"{objective} {measured[newest]:.4f} after epoch {newest} is behind the median of the other trials"

    def tell(self, trial: Trial, ending: Ending, history: Sequence[dict[str, float]] = ()) -> bool:
        """Tell the storage how a trial has ended; return False where it knew that already.

        Args:
            trial: of this study.
            ending: how it has ended.
            history: its rows.
        """
        try:
            self._tell(trial, ending, history)
        except UpdateFinishedTrialError:
            return False
        return True

    def _tell(self, trial: Trial, ending: Ending, history: Sequence[dict[str, float]]) -> None:
        self.report(trial, history, epochs=0)
        values = [ending.measured.get(objective) for objective in self.asked.objectives]
        numbers = [value for value in values if value is not None and math.isfinite(value)]
        error = ending.error
        if error is None and len(numbers) < len(values):
            error = f"no finite {' or '.join(self.asked.objectives)}"
        trial.set_user_attr("seconds", sum(row["seconds"] for row in history))
        if ending.marks:
            trial.set_user_attr("health", ending.marks)
        if error is None:
            self.kept.tell(trial, numbers, skip_if_finished=True)
        else:
            trial.set_user_attr("error", error)
            state = TrialState.PRUNED if ending.pruned else TrialState.FAIL
            self.kept.tell(trial, state=state, skip_if_finished=True)

    def best(self) -> FrozenTrial | None:
        """Return the best completed trial by the first objective, of equals by the next one, the first of several; None
        where there is none.
        """
        signs = [1 if OBJECTIVES[objective] == "minimize" else -1 for objective in self.asked.objectives]
        return min(
            self.of_state(TrialState.COMPLETE),
            key=lambda trial: [sign * value for sign, value in zip(signs, trial.values, strict=True)],
            default=None,
        )


@contextmanager
def told() -> Iterator[None]:
    """Say in one line that the storage has failed.

    Raises:
        StoppedError: for any exception but a mistake of the user.
    """
    try:
        yield
    except (UserError, StoppedError):
        raise
    except Exception as error:
        why = typed_reason(error)
        raise StoppedError(
            f"the search has stopped, since its storage failed ({why}); the same command goes on"
        ) from error


def name_of(grid: str, base: Planned) -> str:
    """Return the name of a study, which no other cell's study has."""
    cell = base.cell
    labels = f"{grid} {cell.dataset_label} {cell.head_label}"
    return f"{labels[:LONGEST_LABEL]} d={cell.feature_dim} {base.cell_id[:8]}"


def there(storage: BaseStorage, grid: str, bases: Sequence[Planned], asked: Asked) -> list[Study]:
    """Return those studies of a grid's cells that are in a storage, to be read: nothing can be asked of them."""
    names = set(optuna.get_all_study_names(storage))
    return [
        Study(base, Space({}, {}), optuna.load_study(study_name=name, storage=storage), asked)
        for base in bases
        if (name := name_of(grid, base)) in names
    ]


def start(
    storage: BaseStorage, grid: str, base: Planned, space: Space, asked: Asked, *, retry_failed: bool = False
) -> Study:
    """Return a study as it is in a storage, or begin it; its first trial has the cell's own values.

    With ``retry_failed`` what failed before is not held against it, and the cell's own values are tried again where
    they failed and it wants trials.

    Raises:
        UserError: if it was started with another space, other objectives or another seed.
    """
    name = name_of(grid, base)
    pruner = MedianPruner(UNPRUNED, math.ceil(PATIENCE * base.facts["epochs"]))
    try:
        kept = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
    except KeyError:
        directions = [OBJECTIVES[objective] for objective in asked.objectives]
        kept = optuna.create_study(storage=storage, study_name=name, directions=directions, pruner=pruner)
    settings = _settings(space, asked)
    if kept.user_attrs.get("settings") is None:
        kept.enqueue_trial(space.start, skip_if_exists=True)
        kept.set_user_attr("grid", grid)
        kept.set_user_attr("facts", {"study": name, "cell_id": base.cell_id} | base.facts)
        kept.set_user_attr("settings", settings)
    study = Study(base, space, kept, asked)
    check(study)
    failed = study.of_state(TrialState.FAIL)
    if not (retry_failed and failed):
        return study
    study = replace(study, forgiven=len(failed))
    others = study.of_state(*ENDED, TrialState.RUNNING, TrialState.WAITING)
    # As Optuna keeps the values of a trial that is not asked for yet.
    tried = any(trial.system_attrs.get("fixed_params", trial.params) == space.start for trial in others)
    if study.wants and not tried:
        kept.enqueue_trial(space.start)
    return study


def check(study: Study) -> None:
    """Raise UserError if a study was started with another space, other objectives or another seed."""
    before, settings = study.kept.user_attrs.get("settings"), _settings(study.space, study.asked)
    if before is not None and before != settings:
        raise UserError(
            f"study '{study.name}': {_difference(before, settings)}; undo that, or give --name or --storage"
        )


def _settings(space: Space, asked: Asked) -> dict[str, Any]:
    """Return what must not change while a study goes on, in JSON types."""
    return {
        "objectives": list(asked.objectives),
        "seed": asked.seed,
        "cell_seed": asked.cell_seed,
        "space": {name: distribution_to_json(own) for name, own in space.distributions.items()},
        "start": space.start,
    }


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Say in which setting a study has changed."""
    old, new = (settings.pop("space") | settings for settings in (dict(before), dict(now)))
    name = next(name for name in {**old, **new} if old.get(name) != new.get(name))
    return f"it was started with {name} {old.get(name, 'left out')}, now it is {new.get(name, 'left out')}"
