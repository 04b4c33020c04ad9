"""Claims of the papers, tested on a grid's rows: ``claims.yaml`` read, decided, and shown as a table."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from results.statistics import Floats, paired
from results.tables import COMPARISON, SELECTIONS, Table, interval

FILE = Path(__file__).with_name("claims.yaml")
# More seeds than this are not asked for.
MOST_SEEDS = 1000


@cache
def load() -> list[dict[str, Any]]:
    """Return the claims of ``claims.yaml``, whose head says what their keys mean."""
    claims: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())
    return claims


def decide(values: Floats, rule: str, bound: float) -> tuple[str, str]:
    """Return verdict and reason for one claim.

    The verdict is ``supported`` where the whole 95 % confidence interval of the mean obeys the rule, ``contradicted`` where none of it does, else ``undecided``
    with the number of seeds that would decide it, if mean and spread stay as they are.

    Args:
        values: (n,) differences by seed in points, or for ``reaches`` the head's own values.
        rule: ``above``, ``below``, ``within`` or ``reaches``.
        bound: margin or threshold in points.
    """
    found = paired(values)
    if found.n < 2:
        return "undecided", "one seed has no interval; at least 2 are needed"
    lows_and_highs = {"above": (bound, math.inf), "reaches": (bound, math.inf), "below": (-math.inf, -bound), "within": (-bound, bound)}
    low, high = lows_and_highs[rule]
    if low <= found.low and found.high <= high:
        return "supported", ""
    if found.high < low or found.low > high:
        return "contradicted", ""
    nearest = min(abs(found.mean - end) for end in (low, high) if math.isfinite(end))
    return "undecided", _seeds_needed(float(values.std(ddof=1)), nearest)


def _seeds_needed(spread: float, distance: float) -> str:
    counts = np.arange(2, MOST_SEEDS + 1)
    enough = counts[stats.t.ppf(0.975, counts - 1) * spread / np.sqrt(counts) < distance]
    return f"about {enough[0]} seeds would decide it" if len(enough) else f"more than {MOST_SEEDS} seeds would be needed"


def check(rows: pd.DataFrame, selection: str = "last") -> pd.DataFrame:
    """Return every claim that the rows of a grid say something about.

    Args:
        rows: of a grid.
        selection: whose rows are used.

    Returns:
        Columns ``id, text, source, dataset, recipe, selection, head, against, metric, rule, bound, mean, low, high, n, p, smallest_p, verdict, reason``; the
        interval and ``mean`` in points. One row for each comparison and dimension that a claim applies to.
    """
    done = rows[(rows["selection"] == selection) & (rows["status"] == "done")]
    found = [row for _, part in done.groupby(COMPARISON, sort=False, dropna=False) for claim in load() if _about(claim, part) for row in _tested(claim, part)]
    columns = "id text source dataset recipe selection head against metric rule bound mean low high n p smallest_p verdict reason".split()
    return pd.DataFrame(found, columns=columns)


def _about(claim: dict[str, Any], part: pd.DataFrame) -> bool:
    dataset, imbalance = part["dataset"].iloc[0], part["imbalance_factor"].iloc[0]
    return dataset in claim.get("dataset", [dataset]) and imbalance == claim.get("imbalance_factor", 1 if "dataset" in claim else imbalance)


def _tested(claim: dict[str, Any], part: pd.DataFrame) -> list[dict[str, Any]]:
    first, second = claim["head"], claim.get("against")
    found = []
    for dim in [first["feature_dim"]] if "feature_dim" in first else sorted(set(part["feature_dim"])):
        metric = claim.get("metric", "top1")
        own = _by_seed(part, first["head"], dim, metric)
        other = None if second is None else _by_seed(part, second["head"], second.get("feature_dim", dim), metric)
        values = 100 * (own if other is None else own - other).dropna()
        if values.empty:
            continue
        bound = claim["margin"] if "margin" in claim else claim["threshold"]
        verdict, reason = decide(values.to_numpy(), claim["rule"], bound)
        test = paired(values.to_numpy())
        facts = {key: part[key].iloc[0] for key in ("dataset", "recipe")} | {"selection": SELECTIONS[part["selection"].iloc[0]]}
        sides = {"head": f"{first['head']} d={dim}", "against": "" if second is None else f"{second['head']} d={second.get('feature_dim', dim)}"}
        numbers = {"mean": test.mean, "low": test.low, "high": test.high, "n": test.n}
        # A sign-flip test asks whether a difference is 0, so a value of one head has none.
        tests = {"p": test.p, "smallest_p": test.smallest_p} if second is not None else {"p": math.nan, "smallest_p": math.nan}
        about = {key: claim[key] for key in ("id", "text", "source", "rule")} | {"metric": metric, "bound": bound}
        found.append(about | facts | sides | numbers | tests | {"verdict": verdict, "reason": reason})
    return found


def _by_seed(part: pd.DataFrame, head: str, dim: int, metric: str) -> pd.Series:
    """Return the metric by seed of a head in its default form, empty where it was not trained."""
    return part[(part["head_label"] == head) & (part["feature_dim"] == dim)].set_index("seed")[metric].astype(float)


def as_table(found: pd.DataFrame) -> Table:
    """Return the claims of :func:`check` as a table, one per row."""
    index = pd.MultiIndex.from_frame(found[["text", "head"]].rename(columns={"text": "claim"}))
    cells = pd.DataFrame(
        {
            "against": found["against"],
            "data": found["dataset"],
            "mean [95 % interval]": [interval(*numbers) for numbers in found[["mean", "low", "high"]].itertuples(index=False)],
            "n": found["n"].astype(str),
            "p (smallest)": ["-" if math.isnan(p) else f"{p:.3f} ({least:.3f})" for p, least in found[["p", "smallest_p"]].itertuples(index=False)],
            "verdict": [f"{verdict}: {reason}" if reason else verdict for verdict, reason in found[["verdict", "reason"]].itertuples(index=False)],
        }
    ).set_index(index)
    sources = "; ".join(dict.fromkeys(found["source"]))
    caption = (
        "Claims, in points (percent), last epoch, paired by seed. Supported: the whole interval obeys the rule; contradicted: none of it does. "
        f"p: sign-flip test of no difference, in brackets the smallest p that so few seeds can reach. Sources: {sources}."
    )
    return Table("claims", caption, cells, pd.DataFrame(False, index=cells.index, columns=cells.columns), found)
