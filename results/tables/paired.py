"""Heads against the first head of the grid: differences on the same test images, their intervals and verdicts."""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from headbench.results import differences
from headbench.results.answers import Answers
from headbench.results.columns import finished
from headbench.results.compared import Comparison
from headbench.results.differences import Found
from headbench.results.numbers import inference
from headbench.results.numbers.statistics import CONFIDENCE, holm, mcnemar
from headbench.results.tables.base import SELECTIONS, Table, interval, unmarked

IDENTICAL = "identical predictions"
PLACE = 1


@lru_cache(maxsize=1)
def compared(comparison: Comparison) -> Table | None:
    """Return the table of a comparison's last epochs, made once for all that show it."""
    return table(comparison.rows, comparison.answers, "last", comparison.description, comparison.name)


def table(rows: pd.DataFrame, answers: Answers, selection: str, description: str, name: str) -> Table | None:
    """Return the table of paired differences of top-1 accuracy, or None where no head was trained beside the first one.

    Args:
        rows: of one comparison.
        answers: of the grid's cells.
        selection: whose rows are compared.
        description: of the comparison, for the caption.
        name: of the comparison, for the file.
    """
    done = finished(rows, selection)
    if done.empty:
        return None
    reference = rows["head_label"].iloc[0]
    found = []
    for dim, part in done.groupby("feature_dim"):
        base = part[part["head_label"] == reference]
        for head in (label for label in dict.fromkeys(part["head_label"]) if label != reference):
            row = difference(part[part["head_label"] == head], base, answers)
            found += [{"d": dim, "head": head, "minus": reference, "selection": selection} | row] if row else []
    if not found:
        return None
    cells, tidy = judged(found, f"minus {reference}")
    whose = f"that of {reference} in points, {SELECTIONS[selection]}"
    return Table(
        f"{name}-pairs-{selection}",
        f"{caption(tidy, whose)}{_twins(done, answers)} {description}.",
        cells,
        unmarked(cells),
        tidy,
    )


def difference(
    rows: pd.DataFrame, base: pd.DataFrame, answers: Answers, others: Answers | None = None
) -> dict[str, Any]:
    """Return the row of a difference of top-1 accuracy, empty where there is none.

    Arguments as for :func:`headbench.results.differences.between`.
    """
    pair = differences.between(rows, base, answers, others=others)
    if pair is None:
        return {}
    heads = (rows, answers), (base, others or answers)
    return {"p": _p(pair, *heads), "test": _test(pair, *heads)} | _numbers(pair) | {"pair": pair}


def judged(
    found: list[dict[str, Any]], title: str, index: Sequence[str] = ("d", "head")
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return printed cells and tidy numbers of differences, with verdicts that are corrected over all of them: those of
    one seed, which are of two networks, apart from those of heads, and heads with the same answers once.

    Args:
        found: rows of :func:`difference`, each with what names it.
        title: of the differences.
        index: the names of that.
    """
    tidy = pd.DataFrame(found)
    tested = tidy["p"].notna()  # of heads with the same answers one may be unsound
    first = ~tidy.assign(tested=tested).duplicated(["tested", "test"])
    of_heads = tidy["n"] > 1
    once = of_heads & first & tested
    tidy.loc[once, "p"] = [one.p() for one in inference.together([pair.difference for pair in tidy.loc[once, "pair"]])]
    for family in (~of_heads, of_heads):
        tidy.loc[family, "holm"] = holm(tidy["p"].where(family & first).to_numpy(dtype=float))[family]
    for name in ("p", "holm"):
        tidy[name] = tidy.groupby("test")[name].transform("first").where(tested)
    tidy["verdict"] = [_verdict(pair, p) for pair, p in zip(tidy["pair"], tidy["holm"], strict=True)]
    columns = {
        f"{title} [95 % interval]": [
            IDENTICAL if row["pair"].identical else interval(row["mean"], row["low"], row["high"]) for row in found
        ],
        "seeds": tidy["n"].astype(str),
    }
    if tidy["holm"].notna().any():
        columns["p (Holm)"] = [_number(p) for p in tidy["holm"]]
    cells = pd.DataFrame(columns | {"verdict": tidy["verdict"]}).set_index(pd.MultiIndex.from_frame(tidy[[*index]]))
    return cells, tidy.drop(columns=["pair", "test"])


def _numbers(pair: Found) -> dict[str, float]:
    """Return the columns of a difference in points."""
    found = pair.difference
    return {
        "mean": 100 * found.mean,
        "low": 100 * found.low,
        "high": 100 * found.high,
        "df": found.df,
        "n": found.seeds,
        "images": found.images,
    }


def _p(pair: Found, *heads: tuple[pd.DataFrame, Answers]) -> float:
    """Return the p-value of no difference, for one seed that of McNemar's test.

    NaN where no verdict may follow from it. The two heads are given by their rows and answers.
    """
    if pair.identical or pair.marks or pair.difference.seeds == 2:
        return math.nan
    if pair.difference.seeds > 2:
        return pair.difference.p()
    first, second = (answers.of_rows(rows[rows["seed"] == pair.seeds[0]]) for rows, answers in heads)
    assert first is not None
    assert second is not None
    return mcnemar(first[0].right, second[0].right)


def _test(pair: Found, *heads: tuple[pd.DataFrame, Answers]) -> int:
    """Return what tells a test from others: which test images the two heads get right with the seeds of both."""
    both = [answers.of_rows(rows[rows["seed"].isin(pair.seeds)]) or [] for rows, answers in heads]
    return hash(tuple(tuple(answer.right.tobytes() for answer in own) for own in both))


def _verdict(pair: Found, p: float) -> str:
    """Return what a row says of its head against the first one."""
    found = pair.difference
    if pair.identical:
        return IDENTICAL
    if pair.marks:
        return f"no verdict on the heads ({pair.marks})"
    if found.seeds == 1:
        return "these two networks differ" if p < 1 - CONFIDENCE else "these two networks do not differ measurably"
    if found.seeds < inference.SEEDS:
        return f"no verdict from {found.seeds} seeds"
    if found.images == 1:
        return "no verdict from one test image"
    said = inference.verdict(found, p)
    if said != "unresolved" or not found.mean:
        return said
    return f"unresolved; {inference.seeds_needed(found, abs(found.mean))}"


def _twins(done: pd.DataFrame, answers: Answers) -> str:
    """Return which heads beside each other predict the same class for every test image with every seed, as a sentence
    of the caption; nothing where none do.
    """
    found = dict[str, list[str]]()
    for dim, part in done.groupby("feature_dim"):
        heads = [own for _, own in part.groupby("head_label", sort=False)]
        pairs = [
            (a, b)
            for a, b in itertools.combinations(heads, 2)
            if (pair := differences.between(a, b, answers)) is not None and pair.identical
        ]
        for a, b in pairs:
            found.setdefault(f"{a['head_label'].iloc[0]} and {b['head_label'].iloc[0]}", []).append(str(dim))
    told = "; ".join(f"{heads} at d = {', '.join(dims)}" for heads, dims in found.items())
    return f" Identical predictions: {told}." if told else ""


def caption(tidy: pd.DataFrame, whose: str) -> str:
    """Return what a caption says of differences: how they, their intervals and their verdicts are made.

    Args:
        tidy: of :func:`judged`.
        whose: accuracy is taken off, in which unit and of which epoch.
    """
    several = bool((tidy["n"] > 1).any())
    parts = [f"Top-1 test accuracy minus {whose}, on the same test images with the same seeds."]
    if several:
        parts.append(
            "Interval: 95 %, for new trainings and new test images (seeds and images crossed, Student's t with "
            "Satterthwaite's degrees of freedom)."
        )
    enough = tidy["n"] >= inference.SEEDS
    tests, alone = tidy.loc[enough, "holm"].notna().sum(), (tidy["n"] == 1).any()
    which = f"rows of {inference.SEEDS} seeds or more" if alone else "rows that have one"
    if tests:
        parts.append(
            f"Better, worse: p below 0.05 after Holm's correction over the "
            f"{f'{tests} {which}' if tests > 1 else 'one row that has one'}, the same answers counted once. "
            "For p a row's spread over seeds is averaged with that of all rows. "
            "Tied: the interval lies within ± 0.5 points. Seeds: for 80 % power if the true difference is the one "
            "seen; a true difference of 0 is never shown."
        )
    if alone:
        parts.append(
            "One seed: McNemar's exact test over the test images, corrected over such rows alone, tells two networks "
            "apart, and says nothing of their heads."
        )
    return " ".join(parts)


def _number(p: float) -> str:
    return "-" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"
