"""Claims of the papers, tested on a grid's rows: ``claims.yaml`` read, decided, and shown as a table."""

import json
import math
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, TypeAdapter

from headbench.core import yaml_files
from headbench.core.validation import Strict
from headbench.results import columns, differences
from headbench.results.answers import Answers
from headbench.results.columns import TOGETHER
from headbench.results.differences import Found
from headbench.results.numbers import inference
from headbench.results.numbers.inference import Difference
from headbench.results.numbers.statistics import CONFIDENCE, holm
from headbench.results.tables.base import ENOUGH, SELECTIONS, Table, interval, unmarked
from headbench.results.tables.paired import IDENTICAL
from headbench.results.tables.published_numbers import Form, is_step, stands_for

FILE = Path(__file__).parents[1] / "claims.yaml"


class Side(Strict):
    """A head at one dimension, or at every dimension where there is none.

    It is meant by its label. Where no row of a comparison has this label, ``sbcl`` is every variant of ``sbcl`` there,
    and ``sbcl(cluster_period=5)`` every one with this option, whatever its others are; each of several is judged.
    """

    head: str
    feature_dim: int | None = None


class Claim(Strict):
    """A statement that a grid's rows can decide; ``claims.yaml`` says what the keys mean.

    Margin and threshold are in points.
    """

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
        Columns ``id, text, source, published, dataset, comparison, selection, head, against, variant, feature_dim,
        metric, rule, bound, mean, low, high, df, n, p, holm, verdict, reason``; ``mean`` and the interval in points.
        One row for each claim, comparison, dimension and variant of its heads; ``variant`` has the labels that the
        claim does not write so. ``holm`` is corrected over all rows.
    """
    done = columns.finished(rows, selection)
    parts = [part for _, part in done.groupby(TOGETHER, sort=False, dropna=False)]
    several = columns.differing(done)
    found = [
        row
        for number, part in enumerate(parts)
        for claim in load()
        if _about(claim, part)
        for row in _tested(claim, part, number, answers, _data(part, several))
    ]
    judged = [row for row in found if not row["reason"]]
    for row, one in zip(judged, inference.together([row["found"] for row in judged]), strict=True):
        row["p"], row["favours"] = p_value(one, row["rule"], 0.0 if row["rule"] == "reaches" else row["bound"] / 100)
    shown = (
        "id text source published dataset comparison selection head against variant feature_dim metric rule bound "
        "mean low high df n p holm verdict reason"
    ).split()
    tested = pd.DataFrame(found, columns=[*shown, "favours", "found", "few"])
    tested["holm"] = holm(tested["p"].to_numpy(dtype=float))
    decided = [_decide(row) for _, row in tested.iterrows()]
    return tested.assign(verdict=[verdict for verdict, _ in decided], reason=[reason for _, reason in decided])[shown]


def _about(claim: Claim, part: pd.DataFrame) -> bool:
    first = part.iloc[0]
    dataset, imbalance = first["dataset"], first["imbalance_factor"]
    wanted = (
        claim.imbalance_factor if claim.imbalance_factor is not None else 1 if claim.dataset is not None else imbalance
    )
    # What is claimed of a long tail of a named data set is claimed of exponential class counts.
    of_these = claim.dataset is None or (dataset in claim.dataset and not is_step(first["protocol"]))
    return of_these and imbalance == wanted


def _tested(claim: Claim, part: pd.DataFrame, comparison: int, answers: Answers, data: str) -> list[dict[str, Any]]:
    """Return a row for each dimension, and each variant of the heads, at which the rows of one comparison, of these
    data, have both sides of a claim.
    """
    about = claim.model_dump(include={"id", "text", "source", "published", "rule", "metric", "bound"})
    about |= {"dataset": data, "comparison": comparison, "selection": part["selection"].iloc[0]}
    return [
        about | {"feature_dim": dim} | row
        for dim in ([claim.head.feature_dim] if claim.head.feature_dim else sorted(set(part["feature_dim"])))
        for shown in product(*(_variants(claim, part, side, dim) for side in _sides(claim)))
        if _as_long(shown) and (row := _row(claim, shown, answers))
    ]


def _as_long(shown: tuple[pd.DataFrame, ...]) -> bool:
    """Return whether two forms of one head were trained for as many epochs; its options may say how many they are."""
    heads, epochs = ({rows[name].iloc[0] for rows in shown} for name in ("head", "epochs"))
    return len(heads) > 1 or len(epochs) == 1


def _sides(claim: Claim) -> list[Side]:
    return [side for side in (claim.head, claim.against) if side is not None]


def _row(claim: Claim, shown: tuple[pd.DataFrame, ...], answers: Answers) -> dict[str, Any] | None:
    """Return what the rows of one head, or of two, say of a claim, None where what it needs cannot be had."""
    alone, bound = claim.against is None, claim.bound / 100
    pair = (
        differences.alone(shown[0], answers, bound)
        if alone
        else differences.between(shown[0], shown[1], answers, claim.metric)
    )
    if pair is None:
        return None
    measured, reason = pair.difference, _no_verdict(claim, pair, shown)
    shift = claim.bound if alone else 0
    labels = [str(rows["head_label"].iloc[0]) for rows in shown]
    heads = [f"{label} d={rows['feature_dim'].iloc[0]}" for label, rows in zip(labels, shown, strict=True)]
    others = [
        label
        for label, side in zip(labels, _sides(claim), strict=True)
        if label not in {side.head, side.head.partition("(")[0]}
    ]
    return (
        dict(zip(("head", "against"), [*heads, ""], strict=False))
        | {"variant": " against ".join(others)}
        | {end: 100 * getattr(measured, end) + shift for end in ("mean", "low", "high")}
        | {"df": measured.df, "n": measured.seeds, "reason": reason, "found": measured}
        | {"few": _few_images(claim, shown)}
    )


def _data(part: pd.DataFrame, several: list[str]) -> str:
    """Return the data of one comparison's rows, with their imbalance factor and what else several of the grid differ
    in.
    """
    first = part.iloc[0]
    told = dict.fromkeys([*(["imbalance_factor"] if first["imbalance_factor"] != 1 else []), *several])
    said = [first["recipe"] if name == "recipe" else columns.NAMED[name].above(first[name]) for name in told]
    return ", ".join([first["dataset"], *said])


def _variants(claim: Claim, part: pd.DataFrame, side: Side, dim: int) -> list[pd.DataFrame]:
    """Return the rows of each head that a claim means, none where it was not trained, or not so long."""
    name, form, _ = side.head.partition("(")
    own = part[part["head"] == name]
    if side.head in set(own["head_label"]):
        own = own[own["head_label"] == side.head]
    elif form:
        forms = [stands_for(side.head, Form(name, json.loads(options))) for options in own["head_options"]]
        own = own[pd.Series(forms, index=own.index, dtype=bool)]
    own = own[own["feature_dim"] == (side.feature_dim or dim)]
    own = own if claim.epochs is None else own[own["epochs"] == claim.epochs]
    return [rows for _, rows in own.groupby("head_label", sort=False)]


def _no_verdict(claim: Claim, pair: Found, shown: tuple[pd.DataFrame, ...]) -> str:
    """Return why a claim gets no verdict whatever its p-value, or nothing."""
    if pair.identical and claim.rule != "within":
        return IDENTICAL
    if pair.marks:
        return f"no verdict on the heads ({pair.marks})"
    if len(pair.seeds) < inference.SEEDS:
        return f"no verdict from {len(pair.seeds)} seed" + ("s" if len(pair.seeds) > 1 else "")
    if all(differences.below_floor(own, claim.metric) for own in shown):
        return "both within what a perfectly calibrated head would show"
    return ""


def _few_images(claim: Claim, shown: tuple[pd.DataFrame, ...]) -> str:
    """Return what to know of a claim on temperatures that few validation images fit badly, nothing on others."""
    if claim.metric != "ece_temperature" or not all("n_val" in rows for rows in shown):
        return ""
    fewest = min(rows["n_val"].min() for rows in shown)
    return f"temperatures of {fewest} validation images" if fewest < ENOUGH else ""


def _decide(row: pd.Series) -> tuple[str, str]:
    """Return verdict and reason of a row of :func:`check`: ``supported``, ``contradicted``, ``unresolved`` or
    ``identical predictions``.
    """
    if row["reason"] == IDENTICAL:
        return IDENTICAL, ""
    verdict, why = "unresolved", row["reason"]
    if not why and row["holm"] < 1 - CONFIDENCE:
        verdict = row["favours"]
    elif not why:
        found, bound = row["found"], 0.0 if row["rule"] == "reaches" else row["bound"] / 100
        ends = {"within": (-bound, bound), "below": (-bound,)}.get(row["rule"], (bound,))
        distance = min(abs(found.mean - end) for end in ends)
        why = inference.seeds_needed(found, distance) if distance and found.error else ""
    return verdict, "; ".join(filter(None, (why, row["few"])))


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
    for (_, _, data, variant), own in found.groupby(["id", "comparison", "dataset", "variant"], sort=False):
        texts = {row["feature_dim"]: _cell(row) for _, row in own.iterrows()}
        claim = f"{own['text'].iloc[0]}{f' Here: {variant}.' if variant else ''}"
        lines.append({"claim": claim, "data set": data} | {f"d = {dim}": texts.get(dim, "-") for dim in dims})
    cells = pd.DataFrame(lines).set_index(["claim", "data set"])
    sources = "; ".join(dict.fromkeys(found["source"]))
    verdicts = (
        f"A verdict needs {inference.SEEDS} seeds and p < 0.05 after Holm's correction over the {family} tests of all "
        "claims here. Supported: more (less, inside) than the claim's bound; contradicted: the other side of it. "
        "Seeds: for 80 % power if the true difference is the one seen; a difference that is exactly at the bound is "
        "never decided."
        if family
        else "No claim has a verdict here; why stands beside each."
    )
    caption = (
        f"{title}: verdict and difference in points with its 95 % interval, {SELECTIONS[found['selection'].iloc[0]]}, "
        f"on the same test images with the "
        f"same seeds, by this grid's recipe and epochs, not the paper's. {verdicts} Sources: {sources}."
    )
    return Table(name, caption, cells, unmarked(cells), found)


def _cell(row: pd.Series) -> str:
    numbers = interval(row["mean"], row["low"], row["high"])
    return f"{row['verdict']}{': ' + row['reason'] if row['reason'] else ''}" + (
        "" if row["verdict"] == IDENTICAL else f"; {numbers}"
    )
