"""A search for one head under one condition, with what its trials found on validation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from headbench.results.numbers.statistics import Floats

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

TITLES = {"val_top1": "validation top-1", "val_nll": "validation NLL", "val_ece": "validation ECE"}
PERCENT = {"val_top1", "val_ece"}


@dataclass(frozen=True)
class Search:
    """A study: the search for one head under one condition.

    Attributes:
        study: of :func:`headbench.results.tuning.searches.studies`.
    """

    study: "Study"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Facts of its cells, by column."""
        return dict(self.study.user_attrs["facts"])

    @cached_property
    def objectives(self) -> tuple[str, ...]:
        """Names of the validation metrics."""
        return tuple(self.study.user_attrs["settings"]["objectives"])

    @cached_property
    def signs(self) -> tuple[int, ...]:
        """For each objective 1 where more is better, -1 where less is."""
        return tuple(1 if direction.name == "MAXIMIZE" else -1 for direction in self.study.directions)

    @cached_property
    def trials(self) -> list["FrozenTrial"]:
        """All trials, in the order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    @property
    def label(self) -> str:
        """The head's label."""
        return str(self.facts["head_label"])

    @property
    def dim(self) -> int:
        """The feature dimension d."""
        return int(self.facts["feature_dim"])

    @cached_property
    def done(self) -> list["FrozenTrial"]:
        """Trials that were trained to their end, with finite values."""
        return [trial for trial in self.trials if trial.state.name == "COMPLETE" and _has_values(trial)]

    @cached_property
    def pruned(self) -> list["FrozenTrial"]:
        """Trials that were stopped early; their value, where they have one, is that of their last epoch."""
        return [trial for trial in self.trials if trial.state.name == "PRUNED"]

    def values(self) -> Floats:
        """Return (N,) values of the finished and pruned trials in the first objective, of which more is better. None at
        all where no trial is finished, since only such a one can be chosen: a pruned trial, whose last value may be of
        an epoch better than its end would have been, counts at most as the best of them, and one without a value as
        the worst.
        """
        finished = [self.signs[0] * trial.values[0] for trial in self.done]
        if not finished:
            return np.array([])
        pruned = [self.signs[0] * trial.values[0] for trial in self.pruned if _has_values(trial)]
        known = [*finished, *(min(value, max(finished)) for value in pruned)]
        return np.array(known + [min(known)] * (len(self.pruned) - len(pruned)))

    def best(self) -> "FrozenTrial | None":
        """Return the finished trial that is best in the first objective, of equals in the next one, the earliest of
        several; None without one.
        """
        return max(
            self.done, key=lambda trial: [s * v for s, v in zip(self.signs, trial.values, strict=True)], default=None
        )

    @cached_property
    def front(self) -> list["FrozenTrial"]:
        """Finished trials that no other one beats: is as good in every objective and better in one."""
        values = np.array([trial.values for trial in self.done]).reshape(-1, len(self.signs)) * np.array(self.signs)
        as_good, better = (values[:, None] <= values).all(axis=2), (values[:, None] < values).any(axis=2)
        kept = np.flatnonzero(~np.any(as_good & better, axis=1))
        return [self.done[place] for place in kept]

    def title(self, place: int = 0) -> str:
        """Return an objective as figures and captions name it."""
        return TITLES.get(self.objectives[place], self.objectives[place])

    def shown(self, value: float, place: int = 0) -> str:
        """Return a value of an objective as tables print it, fractions in percent."""
        return f"{100 * value:.2f}" if self.objectives[place] in PERCENT else f"{value:.3f}"

    def heading(self, place: int = 0) -> str:
        """Return an objective as it stands above printed values."""
        return self.title(place) + (" %" if self.objectives[place] in PERCENT else "")

    def shown_study(self) -> "Study":
        """Return the trials as a study in memory, named by the head's label, its metrics by their titles."""
        return self._in_memory(self.trials, self.signs)

    def losses(self) -> "Study":
        """Return the finished trials as such a study with every objective turned into one of which less is better.

        Optuna's importances take each of several objectives as such.
        """
        from optuna.trial import create_trial

        turned = [
            create_trial(
                values=[-sign * value for sign, value in zip(self.signs, trial.values, strict=True)],
                params=trial.params,
                distributions=trial.distributions,
            )
            for trial in self.done
        ]
        return self._in_memory(turned, [-1] * len(self.signs))

    def _in_memory(self, trials: Sequence["FrozenTrial"], signs: Sequence[int]) -> "Study":
        import optuna

        made = optuna.create_study(
            storage=optuna.storages.InMemoryStorage(),
            study_name=self.label,
            directions=["maximize" if sign > 0 else "minimize" for sign in signs],
        )
        made.add_trials(trials)
        made.set_metric_names([self.title(place) for place in range(len(self.objectives))])
        return made


def _has_values(trial: "FrozenTrial") -> bool:
    return trial.values is not None and all(map(math.isfinite, trial.values))


def parameters(trial: "FrozenTrial") -> str:
    """Return a trial's parameters as text, as ``--set`` takes them."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in trial.params.items()
    )
