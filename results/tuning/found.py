"""What each search found, and all of its trials."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from headbench.results.tables.base import Table, unmarked
from headbench.results.tuning.search import Search, parameters
from headbench.results.tuning.searches import trials as frame_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

# With more trials the page shows the best of each search only.
MOST = 200
BEST = 20
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}


def summary(searches: list[Search], description: str, name: str) -> Table:
    """Return the table of what each search of one comparison found: dimension and head down.

    Args:
        searches: of one comparison.
        description: of the comparison, for the caption.
        name: of the comparison, for the file.
    """
    rows = [_found(search) for search in searches]
    cells = pd.DataFrame(rows, index=_index(searches))
    tidy = pd.DataFrame(
        [
            {"d": search.dim, "head": search.label, "finished": len(search.done), "pruned": len(search.pruned)}
            | {"trials": len(search.trials)}
            | _best_of(search)
            for search in searches
        ]
    )
    front = " Front: finished trials that no other one of the head beats." if len(searches[0].objectives) > 1 else ""
    caption = (
        f"Hyperparameter search on the validation part, which saw no test image. {description}. Trial 0, or where it "
        f"failed the one in its place, has the values of the grid. The best of several trials looks better on "
        f"validation than it is: tuned cells are trained anew with other seeds.{front}"
    )
    return Table(f"{name}-search", caption, cells, unmarked(cells), tidy)


def _index(searches: list[Search]) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples([(search.dim, search.label) for search in searches], names=["d", "head"])


def _found(search: Search) -> dict[str, str]:
    """Return the printed row of a search."""
    # After a trial 0 that failed, another one may have the grid's own values.
    start = search.study.user_attrs["settings"].get("start")
    first = next((trial for trial in search.done if trial.number == 0 or trial.params == start), None)
    best = search.best()
    row = {"trials": _counts(search)}
    for place in range(len(search.objectives)):
        heading = search.heading(place)
        row[f"{heading}, trial 0"] = "-" if first is None else search.shown(first.values[place], place)
        row[f"{heading}, best" if place == 0 else f"{heading} there"] = (
            "-" if best is None else search.shown(best.values[place], place)
        )
    if len(search.objectives) > 1:
        row["front"] = str(len(search.front))
    return row | {
        "trial": "-" if best is None else str(best.number),
        "its parameters": "-" if best is None else parameters(best),
    }


def _counts(search: Search) -> str:
    """Return how many trials a search has, by how they ended: ``9 finished, 3 pruned``."""
    under_way = sum(not trial.state.is_finished() for trial in search.trials)
    ended = {"finished": len(search.done), "pruned": len(search.pruned)}
    counts = ended | {"failed": len(search.trials) - under_way - sum(ended.values()), "under way": under_way}
    return ", ".join(f"{count} {words}" for words, count in counts.items() if count) or "none"


def _best_of(search: Search) -> dict[str, Any]:
    best = search.best()
    if best is None:
        return {}
    return {"trial": best.number} | dict(zip(search.objectives, best.values, strict=True)) | best.params


def trials(searches: list[Search], description: str, name: str) -> Table | None:
    """Return the table of all trials of a comparison's searches, None where there are none.

    Of many trials the page shows the best of each search; the file has all of them.
    """
    every = [(search, trial) for search in searches for trial in search.trials]
    if not every:
        return None
    shown = every if len(every) <= MOST else [(search, trial) for search in searches for trial in _leading(search)]
    cells = pd.DataFrame([_row(*pair) for pair in shown], index=_index([search for search, _ in shown]))
    if not cells["note"].any():
        cells = cells.drop(columns="note")
    tidy = frame_of(search.study for search in searches)
    name = f"{name}-search-trials"
    less = "" if shown is every else f" The {BEST} best of each search; all {len(every)} are in tables/{name}.csv."
    return Table(name, f"Trials of the search. {description}.{less}", cells, unmarked(cells), tidy)


def _leading(search: Search) -> list["FrozenTrial"]:
    """Return the best finished trials of a search in the first objective, the best first; the first ones of a search
    without any.
    """
    return sorted(search.done, key=lambda trial: -search.signs[0] * trial.values[0])[:BEST] or search.trials[:BEST]


def _row(search: Search, trial: "FrozenTrial") -> dict[str, str]:
    """Return the printed row of a trial."""
    values = trial.values or [None] * len(search.objectives)
    printed = {
        search.heading(place): "-" if value is None else search.shown(value, place)
        for place, value in enumerate(values)
    }
    return {
        "trial": str(trial.number),
        "ended": STATES.get(trial.state.name, "under way"),
        **printed,
        **({"front": "yes" if any(trial is own for own in search.front) else ""} if len(search.objectives) > 1 else {}),
        "epochs": str(trial.last_step) if trial.last_step is not None else "-",
        "parameters": parameters(trial),
        "cell": str(trial.user_attrs.get("cell_id", "-")),
        "note": _note(trial),
    }


def _note(trial: "FrozenTrial") -> str:
    marks = ", ".join(map(str, trial.user_attrs.get("health", [])))
    return "; ".join(filter(None, [str(trial.user_attrs.get("error", "")), marks]))
