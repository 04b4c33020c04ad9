"""What smaller searches would have found: the expected best of k trials, and whether the order of heads hangs on k."""

import itertools
from typing import Any

import pandas as pd

from headbench.results.numbers import best_of
from headbench.results.tables.base import Table, unmarked
from headbench.results.tuning.search import Search

# More pairs of heads are counted, not named.
NAMED = 5


def table(searches: list[Search], description: str, name: str) -> Table | None:
    """Return the table of the expected best of k trials: dimension and k down, heads across.

    Args:
        searches: of one comparison, with one objective.
        description: of the comparison, for the caption.
        name: of the comparison, for the file.

    Returns:
        None where no trial has a value.
    """
    known = [search for search in searches if len(search.values())]
    if not known:
        return None
    rows: list[dict[str, Any]] = [
        {"d": search.dim, "k": k, "head": search.label} | _numbers(search, k)
        for search in known
        for k in budgets(len(search.values()))
    ]
    tidy = pd.DataFrame(rows)
    shown = tidy.assign(text=[_text(known[0], row) for row in rows])
    cells = shown.pivot(index=["d", "k"], columns="head", values="text").fillna("-")
    cells = cells[list(dict.fromkeys(tidy["head"]))].rename_axis(columns=None)
    caption = (
        f"Expected best {known[0].heading()} of k trials, over all choices of k of the trials that were made, and in "
        f"brackets what 95 % of these choices find; with all trials there is only one choice. {description}. Pruned "
        "trials count with the value of their last epoch, but not above the best that was trained to its end, or as "
        "the worst of their search where they have none. The "
        "sampler learns from trial to trial, so that a search of only k trials finds rather less."
        f"{_order(known)}"
    )
    return Table(f"{name}-search-budgets", caption, cells, unmarked(cells), tidy)


def budgets(trials: int) -> list[int]:
    """Return the budgets that are shown: powers of two, and all trials."""
    powers = [2**power for power in range(trials.bit_length())]
    return sorted({*powers, trials})


def _numbers(search: Search, k: int) -> dict[str, float]:
    """Return the best of k trials in the objective's own direction, the worse end first."""
    found, sign = best_of.best_of(search.values(), k), search.signs[0]
    return {"mean": sign * found.mean, "worse": sign * found.low, "better": sign * found.high}


def _text(search: Search, row: dict[str, Any]) -> str:
    mean, worse, better = (search.shown(row[end]) for end in ("mean", "worse", "better"))
    return f"{mean} [{worse}, {better}]"


def _order(searches: list[Search]) -> str:
    """Return whether the order of the heads changes with the budget, as a sentence of the caption."""
    pairs = [
        pair
        for _, own in itertools.groupby(sorted(searches, key=lambda one: one.dim), key=lambda one: one.dim)
        for pair in itertools.combinations(list(own), 2)
    ]
    if not pairs:
        return ""
    turning = [said for pair in pairs if (said := _turn(*pair))]
    if not turning:
        return " The order of the heads is the same for every budget."
    more = f"; and {len(turning) - NAMED} more" if len(turning) > NAMED else ""
    return (
        f" The order of the heads changes with the budget in {len(turning)} of {len(pairs)} pairs: "
        f"{'; '.join(turning[:NAMED])}{more}."
    )


def _turn(first: Search, second: Search) -> str:
    """Return where the order of two heads changes, nothing where it does not."""
    stretches = best_of.leads(first.values(), second.values())
    if len(stretches) < 2:
        return ""
    led = ", then ".join(f"{(first if sign > 0 else second).label} from k = {start}" for start, sign in stretches)
    sure = best_of.turned(first.values(), second.values())
    return f"at d = {first.dim} {led} ({'whichever trials are chosen' if sure else 'it hangs on the choice of trials'})"
