"""Average ranks of heads: over data sets with Friedman's and Nemenyi's tests, or descriptive where there is one data
set.
"""

import itertools
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from headbench.results import columns, differences
from headbench.results.answers import Answers
from headbench.results.columns import COMPARISON, TOGETHER
from headbench.results.differences import Found, between, unhealthy
from headbench.results.numbers import inference
from headbench.results.numbers.statistics import Floats, Ranks, ranks
from headbench.results.tables.base import DIGITS, SELECTIONS, Table, unmarked

OUTCOMES = ["better", "tied", "worse", "unresolved"]
# The columns that a ranking needs.
NEEDED = list(dict.fromkeys((*COMPARISON, *differences.NEEDED, "status", "top1")))


@dataclass(frozen=True)
class Ranking:
    """Heads by top-1 accuracy.

    Attributes:
        heads: k names.
        found: their average ranks.
        several: whether the blocks are data sets, and not the conditions of one.
        outcomes: heads down, ``OUTCOMES`` across: verdicts against every other head in every condition; empty where no
            condition has three seeds.
        left_out: conditions that do not count, each with the reason.
        seeds: of each condition that counts, those that a head has in it.
    """

    heads: list[str]
    found: Ranks
    several: bool
    outcomes: pd.DataFrame
    left_out: list[str]
    seeds: list[int]


@dataclass(frozen=True)
class Condition:
    """A comparison at one dimension in which every head was soundly trained.

    Attributes:
        rows: of the seeds that all heads have.
        heads: the same by the head's label.
    """

    rows: pd.DataFrame
    heads: dict[str, pd.DataFrame]


def conditions(rows: pd.DataFrame, selection: str) -> tuple[list[Condition], list[str]]:
    """Return the conditions that count in a ranking, and those that do not, each with the reason; neither where there
    are fewer than two heads.

    Args:
        rows: of a grid.
        selection: whose rows are ranked.
    """
    rows = columns.narrow(rows, NEEDED)
    done = columns.finished(rows, selection)
    heads = list(dict.fromkeys(done["head_label"]))
    if len(heads) < 2:
        return [], []
    found, left_out = [], []
    varied = columns.differing(done)
    for key, part in done.groupby([*TOGETHER, "feature_dim"], sort=False, dropna=False):
        by_head = {str(head): own for head, own in part.groupby("head_label", sort=False)}
        missing = [head for head in heads if head not in by_head]
        shared = set[int]() if missing else set.intersection(*(set(own["seed"]) for own in by_head.values()))
        marks = unhealthy(_of_seeds(part, shared))
        if not shared or marks:
            reason = f"{', '.join(missing)} not trained" if missing else marks or "no seed that all heads have"
            where = "".join(
                f", {column.replace('_', ' ')} {value}"
                for column, value in zip(TOGETHER, key, strict=False)
                if column in varied
            )
            left_out.append(f"{key[0]}{where} d = {key[-1]} ({reason})")
            continue
        own = {head: _of_seeds(by_head[head], shared) for head in heads}
        found.append(Condition(_of_seeds(part, shared), own))
    return found, left_out


def _of_seeds(rows: pd.DataFrame, seeds: set[int]) -> pd.DataFrame:
    """Return the rows of some seeds: most often all of them, which need no copy."""
    return rows if seeds.issuperset(rows["seed"]) else rows[rows["seed"].isin(seeds)]


def accuracies(counted: list[Condition]) -> pd.DataFrame:
    """Return top-1: heads across; down are ``dataset``, ``condition``, a number, and ``seed``.

    A data set with other labels, or of another size, is the same one here.

    Args:
        counted: of :func:`conditions`, not empty.
    """
    rows = pd.concat([condition.rows for condition in counted], keys=range(len(counted)), names=["condition"])
    found = rows.assign(dataset=rows["dataset"].map(_images)).pivot_table(
        "top1", ["dataset", "condition", "seed"], "head_label", sort=False
    )
    return found[list(counted[0].heads)]


def _images(dataset: str) -> str:
    """Return the name of the images of a data set: its own, unless options name a folder or a file."""
    name, _, options = dataset.partition("(")
    return dataset if "path=" in options else name


def scores(found: pd.DataFrame) -> tuple[Floats, bool]:
    """Return a head's scores (blocks, heads), the higher the better, and whether the blocks are data sets: then its
    mean rank over the conditions of each, and else its mean accuracy in each condition.

    Args:
        found: of :func:`accuracies`.
    """
    # Heads with as many right images are tied, also where the sums of their accuracies differ in the last bit.
    means = found.groupby(["dataset", "condition"], sort=False).mean().round(DIGITS)
    by_dataset = (-means).rank(axis=1).groupby("dataset", sort=False).mean()
    several = len(by_dataset) > 1
    return (-by_dataset if several else means).to_numpy(dtype=float), several


def averages(found: pd.DataFrame) -> "pd.Series[float]":
    """Return the average rank of each head as :func:`rank` does, by its label.

    Args:
        found: of :func:`accuracies`.
    """
    return pd.Series(ranks(scores(found)[0]).average, index=found.columns)


def rank(rows: pd.DataFrame, answers: Answers, selection: str) -> tuple[Ranking | None, list[str]]:
    """Return the ranking of a grid's heads, None where no condition has all of at least two heads, and the conditions
    that were left out with the reason.

    A condition is a comparison at one dimension, its score a head's mean over the seeds that all heads have. Only
    conditions count in which every head was trained and no cell is marked as unhealthy. A data set's block is the mean
    rank over its conditions. With one data set its conditions are the blocks, which share images, so that ranks only
    describe.

    Args:
        rows: of a grid.
        answers: of its cells.
        selection: whose rows are ranked.
    """
    counted, left_out = conditions(rows, selection)
    if not counted:
        return None, left_out
    found, several = scores(accuracies(counted))
    heads = list(counted[0].heads)
    verdicts = [
        (a, b, pair)
        for condition in counted
        for a, b in itertools.combinations(heads, 2)
        if (pair := between(condition.heads[a], condition.heads[b], answers)) is not None
    ]
    seeds = [condition.rows["seed"].nunique() for condition in counted]
    return Ranking(heads, ranks(found), several, _outcomes(heads, verdicts), left_out, seeds), left_out


def _outcomes(heads: list[str], pairs: list[tuple[str, str, Found]]) -> pd.DataFrame:
    """Count each head's verdicts against the others; Holm's correction over all pairs that differ.

    Identical predictions are a tie.
    """
    enough = [(a, b, pair) for a, b, pair in pairs if len(pair.seeds) >= inference.SEEDS]
    p_values = differences.p_values([pair for _, _, pair in enough])
    opposite = {"better": "worse", "worse": "better"}
    said = Counter[tuple[str, str]]()
    for (a, b, pair), p in zip(enough, p_values, strict=True):
        verdict = "tied" if pair.identical else inference.verdict(pair.difference, p)
        said.update([(a, verdict), (b, opposite.get(verdict, verdict))])
    counts = pd.DataFrame(
        [[said[head, outcome] for outcome in OUTCOMES] for head in heads], index=heads, columns=OUTCOMES
    )
    return counts if enough else counts.iloc[:0]


def table(ranking: Ranking, selection: str) -> Table:
    """Return the table of a ranking."""
    found = ranking.found
    order = np.argsort(found.average, kind="stable")
    index = pd.Index([ranking.heads[place] for place in order], name="head")
    cells = pd.DataFrame({"average rank": [f"{found.average[place]:.2f}" for place in order]}, index=index)
    tidy = pd.DataFrame({"head_label": index, "average_rank": found.average[order]}).assign(
        n=found.n, p=found.p, critical_difference=found.critical_difference
    )
    counted = ""
    if not ranking.outcomes.empty:
        counts = ranking.outcomes.loc[index]
        cells = cells.join(counts.astype(str))
        tidy = tidy.join(counts.reset_index(drop=True))
        counted = (
            " Better, tied, worse, unresolved: verdicts against each other head in each condition with at least "
            f"{inference.SEEDS} seeds, Holm's correction over all of them; heads of the same predictions are tied, and "
            "each counts as an opponent."
        )
    if ranking.several and not math.isnan(found.p):
        tested = (
            f"Friedman test over {found.n} data sets: {found.said}; ranks further apart than "
            f"{found.critical_difference:.2f} differ at 5 % (Nemenyi)"
        )
    elif ranking.several:
        why = "two heads have" if len(ranking.heads) < 3 else "heads that are tied on each of them have"
        tested = f"Over {found.n} data sets; {why} no Friedman test"
    else:
        conditions = f"{found.n} conditions" if found.n > 1 else "one condition"
        tested = f"Descriptive, over {conditions} of one data set, with the same images: no test"
    least, most = (ends(ranking.seeds) for ends in (min, max))
    tested += f"; conditions have {least} to {most} seeds and count alike" if least < most else ""
    without = f" Left out: {'; '.join(ranking.left_out)}." if ranking.left_out else ""
    caption = (
        f"Average ranks by top-1 test accuracy (1 is best), {SELECTIONS[selection]}, where every head was "
        f"trained. {tested}.{counted}{without}"
    )
    return Table(f"ranks-{selection}", caption, cells, unmarked(cells), tidy)
