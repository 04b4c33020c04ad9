"""Claims of the papers, tested on a grid's rows: ``claims.yaml`` read, decided, and shown as a table."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from headbench.core import yaml_files
from headbench.results import differences
from headbench.results.answers import Answers
from headbench.results.columns import COMPARISON
from headbench.results.differences import Found
from headbench.results.numbers import inference
from headbench.results.numbers.inference import Difference
from headbench.results.numbers.statistics import holm
from headbench.results.tables.base import SELECTIONS, Table, interval, unmarked
from headbench.results.tables.paired import IDENTICAL
from headbench.results.tables.published_numbers import Form, stands_for

FILE = Path(__file__).parents[1] / "claims.yaml"


class Side(BaseModel):
    """A head at one dimension, or at every dimension where there is none.

    It is meant by its label, or with options in brackets by these alone: ``sbcl(subclasses=True)`` is the form of
    ``sbcl`` with this option, whatever its others are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    head: str
    feature_dim: int | None = None


class Claim(BaseModel):
    """A statement that a grid's rows can decide; ``claims.yaml`` says what the keys mean.

    Margin and threshold are in points.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    text: str
    source: str
    published: bool = True
    dataset: list[str] | None = None
    imbalance_factor: float | None = None
    epochs: int | None = None
    head: Side
    against: Side | None = None
    metric: Literal["top1", "ece_raw", "ece_native", "ece_temperature"] = "top1"
    rule: Literal["above", "below", "within", "reaches"]
    bound: Annotated[float, Field(ge=0)]


@cache
def load() -> tuple[Claim, ...]:
    """Return the claims of ``claims.yaml``."""
    return TypeAdapter(tuple[Claim, ...]).validate_python(yaml_files.read(FILE, FILE.name))


def p_value(found: Difference, rule: str, bound: float) -> tuple[float, str]:
    """Return the p-value of a claim's verdict and the verdict that it speaks for: ``supported`` or ``contradicted``.

    For ``above`` and ``below`` it is that of "the true difference is the bound", two-sided. For ``within`` it is the
    larger of the two of its ends, as both must be refuted to support it, or where the mean lies outside the one of the
    nearer end.

    Args:
        found: the difference, or for ``reaches`` the accuracy less the threshold, as fractions.
        rule: ``above``, ``below``, ``within`` or ``reaches``.
        bound: margin as a fraction; 0 for ``reaches``.
    """
    if rule == "within":
        inside = abs(found.mean) < bound
        p = max(found.p(bound), found.p(-bound)) if inside else found.p(math.copysign(bound, found.mean))
        return p, "supported" if inside else "contradicted"
    end = -bound if rule == "below" else bound
    return found.p(end), "supported" if (found.mean < end if rule == "below" else found.mean > end) else "contradicted"


def check(rows: pd.DataFrame, answers: Answers, selection: str = "last") -> pd.DataFrame:
    """Return every claim that the rows of a grid say something about.

    Args:
        rows: of a grid.
        answers: of its cells.
        selection: whose rows are used.

    Returns:
        Columns ``id, text, source, published, dataset, comparison, selection, head, against, feature_dim, metric, rule,
        bound, mean, low, high, df, n, p, holm, verdict, reason``; ``mean`` and the interval in points. One row for each
        claim, comparison and dimension. ``holm`` is corrected over all rows.
    """
    done = rows[(rows["selection"] == selection) & (rows["status"] == "done")]
    parts = [part for _, part in done.groupby(COMPARISON, sort=False, dropna=False)]
    several = done["recipe"].nunique() > 1
    found = [
        row
        for number, part in enumerate(parts)
        for claim in load()
        if _about(claim, part)
        for row in _tested(claim, part, number, answers, _data(part, several))
    ]
    columns = (
        "id text source published dataset comparison selection head against feature_dim metric rule bound mean low "
        "high df n p holm verdict reason"
    ).split()
    tested = pd.DataFrame(found, columns=[*columns, "favours", "found"])
    tested["holm"] = holm(tested["p"].to_numpy(dtype=float))
    decided = [_decide(row) for _, row in tested.iterrows()]
    return tested.assign(verdict=[verdict for verdict, _ in decided], reason=[reason for _, reason in decided])[columns]


def _about(claim: Claim, part: pd.DataFrame) -> bool:
    dataset, imbalance = part["dataset"].iloc[0], part["imbalance_factor"].iloc[0]
    wanted = (
        claim.imbalance_factor if claim.imbalance_factor is not None else 1 if claim.dataset is not None else imbalance
    )
    return (claim.dataset is None or dataset in claim.dataset) and imbalance == wanted


def _tested(claim: Claim, part: pd.DataFrame, comparison: int, answers: Answers, data: str) -> list[dict[str, Any]]:
    """Return a row for each dimension at which the rows of one comparison, of these data, have both sides of a
    claim.
    """
    found = []
    for dim in [claim.head.feature_dim] if claim.head.feature_dim else sorted(set(part["feature_dim"])):
        own = _rows(claim, part, claim.head.head, dim)
        if claim.against is None:
            pair, other = differences.alone(own, answers, claim.bound / 100), ""
            bound = 0.0
        else:
            there = claim.against.feature_dim or dim
            pair, other = (
                differences.between(own, _rows(claim, part, claim.against.head, there), answers, claim.metric),
                f"{claim.against.head} d={there}",
            )
            bound = claim.bound / 100
        if pair is None:
            continue
        measured, reason = pair.difference, _no_verdict(claim, pair, part, dim)
        p, favours = (math.nan, "") if reason else p_value(measured, claim.rule, bound)
        shift = claim.bound if claim.against is None else 0
        numbers = {end: 100 * getattr(measured, end) + shift for end in ("mean", "low", "high")} | {
            "df": measured.df,
            "n": measured.seeds,
            "p": p,
        }
        about = {
            "id": claim.id,
            "text": claim.text,
            "source": claim.source,
            "published": claim.published,
            "rule": claim.rule,
            "metric": claim.metric,
        }
        facts = {
            "dataset": data,
            "comparison": comparison,
            "selection": part["selection"].iloc[0],
            "feature_dim": dim,
            "bound": claim.bound,
        }
        found.append(
            about
            | facts
            | {"head": f"{claim.head.head} d={dim}", "against": other}
            | numbers
            | {"favours": favours, "reason": reason, "found": measured}
        )
    return found


def _data(part: pd.DataFrame, several: bool) -> str:
    """Return the data of one comparison's rows, with their recipe where the grid has several."""
    first = part.iloc[0]
    imbalance = "" if first["imbalance_factor"] == 1 else f", IF {first['imbalance_factor']:g}"
    return f"{first['dataset']}{imbalance}" + (f", {first['recipe']}" if several else "")


def _rows(claim: Claim, part: pd.DataFrame, head: str, dim: int) -> pd.DataFrame:
    """Return the rows of the head that a claim means, none where it was not trained, or not so long, or in several
    such forms.
    """
    there = part[part["feature_dim"] == dim]
    there = there if claim.epochs is None else there[there["epochs"] == claim.epochs]
    named = there[there["head_label"] == head]
    if not named.empty or "(" not in head:
        return named
    forms = [
        stands_for(head, Form(name, json.loads(options)))
        for name, options in zip(there["head"], there["head_options"], strict=True)
    ]
    formed = there[pd.Series(forms, index=there.index, dtype=bool)]
    return formed if formed["head_label"].nunique() <= 1 else formed[:0]


def _no_verdict(claim: Claim, pair: Found, part: pd.DataFrame, dim: int) -> str:
    """Return why a claim gets no verdict whatever its p-value, or nothing."""
    if pair.identical and claim.rule != "within":
        return IDENTICAL
    if pair.marks:
        return f"no verdict on the heads ({pair.marks})"
    if len(pair.seeds) < inference.SEEDS:
        return f"no verdict from {len(pair.seeds)} seed" + ("s" if len(pair.seeds) > 1 else "")
    sides = [side for side in (claim.head, claim.against) if side is not None]
    shown = [_rows(claim, part, side.head, side.feature_dim or dim) for side in sides]
    if all(differences.below_floor(own, claim.metric) for own in shown):
        return "both within what a perfectly calibrated head would show"
    return ""


def _decide(row: pd.Series) -> tuple[str, str]:
    """Return verdict and reason of a row of :func:`check`: ``supported``, ``contradicted``, ``unresolved`` or
    ``identical predictions``.
    """
    if row["reason"]:
        return (IDENTICAL, "") if row["reason"] == IDENTICAL else ("unresolved", row["reason"])
    if row["holm"] < 1 - inference.CONFIDENCE:
        return row["favours"], ""
    found, bound = row["found"], 0.0 if row["rule"] == "reaches" else row["bound"] / 100
    ends = {"within": (-bound, bound), "below": (-bound,)}.get(row["rule"], (bound,))
    distance = min(abs(found.mean - end) for end in ends)
    return "unresolved", inference.seeds_needed(found, distance) if distance and found.error else ""


def as_tables(found: pd.DataFrame) -> list[Table]:
    """Return the claims of :func:`check` as tables, a row per claim and comparison, dimensions across: those of papers,
    then those that no paper makes.
    """
    made = []
    for published, name, title in (
        (True, "claims", "Claims of the papers"),
        (False, "claims-expected", "Expected of the heads, though no paper claims it"),
    ):
        own = found[found["published"] == published]
        if not own.empty:
            made.append(_table(own, name, title, int(found["holm"].notna().sum())))
    return made


def _table(found: pd.DataFrame, name: str, title: str, family: int) -> Table:
    dims = sorted(set(found["feature_dim"]))
    lines = []
    for (_, _, data), own in found.groupby(["id", "comparison", "dataset"], sort=False):
        texts = {row["feature_dim"]: _cell(row) for _, row in own.iterrows()}
        lines.append({"claim": own["text"].iloc[0], "data": data} | {f"d = {dim}": texts.get(dim, "-") for dim in dims})
    cells = pd.DataFrame(lines).set_index(["claim", "data"])
    sources = "; ".join(dict.fromkeys(found["source"]))
    caption = (
        f"{title}: verdict and difference in points with its 95 % interval, {SELECTIONS[found['selection'].iloc[0]]}, "
        f"on the same test images with the "
        f"same seeds, by this grid's recipe and epochs, not the paper's. A verdict needs {inference.SEEDS} seeds and "
        f"p < 0.05 after Holm's correction over the {family} "
        f"tests of all claims here. Supported: more "
        "(less, inside) than the claim's bound; contradicted: the other side of it. Seeds: for 80 % power if the true "
        "difference is the one seen; a difference "
        f"that is exactly at the bound is never decided. Sources: {sources}."
    )
    return Table(name, caption, cells, unmarked(cells), found)


def _cell(row: pd.Series) -> str:
    numbers = interval(row["mean"], row["low"], row["high"])
    return f"{row['verdict']}{': ' + row['reason'] if row['reason'] else ''}" + (
        "" if row["verdict"] == IDENTICAL else f"; {numbers}"
    )
