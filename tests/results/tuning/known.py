"""Studies in memory with known trials."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from headbench.results.tuning.search import Search

optuna.logging.set_verbosity(optuna.logging.WARNING)
FACTS = {
    "dataset": "digits",
    "data_fingerprint": "abc",
    "protocol": "holdout-0.1",
    "backbone": "net",
    "projection": "linear",
    "freeze": "none",
    "imbalance_factor": 1.0,
    "recipe": "fast",
    "tuned": 0,
}
SPACE = {"recipe.lr": FloatDistribution(0.0001, 10, log=True), "head.scale": FloatDistribution(0.01, 100)}


def trial(value: float | Sequence[float] | None, lr: float, state: str = "COMPLETE", **attributes: Any) -> FrozenTrial:
    """A trial, with the values of the objectives or of the last epoch."""
    values = None if value is None else [value] if isinstance(value, float) else list(value)
    reported = {3: values[0]} if values is not None and len(values) == 1 else {}
    return create_trial(
        state=TrialState[state],
        values=values,
        params={"recipe.lr": lr, "head.scale": 10 * lr},
        distributions=SPACE,  # type: ignore[arg-type]
        intermediate_values=reported,
        user_attrs=attributes,
    )


def study(
    head: str, trials: Sequence[FrozenTrial], objectives: Sequence[str] = ("val_top1",), dim: int = 9, **facts: Any
) -> optuna.Study:
    """A study of a head with these trials."""
    own = FACTS | {"head": head.partition("(")[0], "head_label": head, "feature_dim": dim} | facts
    made = optuna.create_study(
        study_name=f"grid {own['dataset']} {head} d={dim}",
        directions=["maximize" if name == "val_top1" else "minimize" for name in objectives],
    )
    made.set_user_attr("facts", own)
    made.set_user_attr("settings", {"objectives": list(objectives)})
    made.add_trials(trials)
    return made


def search(head: str, trials: Sequence[FrozenTrial], *args: Any, **facts: Any) -> Search:
    """The search of such a study."""
    return Search(study(head, trials, *args, **facts))


def of_values(head: str, values: Sequence[float], **facts: Any) -> Search:
    """A search with these finished values, at growing learning rates."""
    return search(head, [trial(float(value), 0.01 * (place + 1)) for place, value in enumerate(values)], **facts)
