"""The answer in sentences: which head is best at which dimension, by how much, and what cannot be told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from headbench.results import columns, differences
from headbench.results.answers import Answers
from headbench.results.differences import Found
from headbench.results.numbers import health, inference
from headbench.results.numbers.inference import Difference

# Heads that a sentence names; more are counted.
NAMED = 6
# Why heads with a seed in common are not compared.
UNKNOWN = "which test images are right is not known"


@dataclass(frozen=True)
class Standing:
    """How the heads stand at one dimension.

    Attributes:
        dim: d.
        best: the head that is ahead of the others, of those that are compared.
        accuracy: its mean over the seeds that it shares with the nearest other one.
        own_seeds: whether it has others.
        alone: whether no other head was trained at that dimension than those that are compared.
        seeds: the most common seeds of the best head and another one.
        behind: the difference of the best head to each other one, by its label, the nearest first.
        said: ``better`` where the best head is better than that one, ``tied``, ``unresolved`` or ``identical``, or
            nothing where there are too few seeds; ``worse`` where no head is ahead of all others, which takes several
            that share no more than some of their seeds.
    """

    dim: int
    best: str
    accuracy: float
    own_seeds: bool
    alone: bool
    seeds: int
    behind: dict[str, Found]
    said: dict[str, str]

    def heads(self, word: str) -> tuple[str, ...]:
        """Return the other heads of which that is said."""
        return tuple(head for head, own in self.said.items() if own == word)

    @property
    def pattern(self) -> tuple[object, ...]:
        """What two dimensions must have in common to stand in one sentence."""
        return self.best, tuple(sorted(self.said.items())), self.alone, self.seeds


def answer(rows: pd.DataFrame, answers: Answers) -> list[str]:
    """Return the sentences of one comparison.

    Args:
        rows: of the comparison.
        answers: of the grid's cells.
    """
    found = standings(rows, answers)
    said = [_of_group(list(group)) for _, group in groupby(found, key=lambda standing: standing.pattern)]
    return [*said, *_not_compared(rows, found), *_left_out(rows)]


def standings(rows: pd.DataFrame, answers: Answers) -> list[Standing]:
    """Return how the heads stand at each dimension where two or more of them may be judged, last epoch: those without a
    marked cell that have a seed in common.

    The best head is compared with every other one as :func:`headbench.results.differences.against_best` does.
    """
    trained = differences.by_head(columns.finished(rows))
    healthy = {
        dim: {head: own for head, own in every.items() if health.sound(own).all()} for dim, every in trained.items()
    }
    standing = []
    for dim, best in differences.against_best(healthy, answers).items():
        nearest = sorted(best.behind, key=lambda head: best.behind[head].difference.mean)
        if not nearest:
            continue
        behind = {head: best.behind[head] for head in nearest}
        said = {head: _said(pair, best.p_values[head]) for head, pair in behind.items()}
        seeds = max(len(pair.seeds) for pair in behind.values())
        own = healthy[dim][best.head]
        shared = own["seed"].isin(behind[nearest[0]].seeds)
        accuracy = float(own.loc[shared, "top1"].mean())
        alone = len(behind) + 1 == len(trained[dim])
        standing.append(Standing(dim, best.head, accuracy, not shared.all(), alone, seeds, behind, said))
    return standing


def _said(pair: Found, p: float) -> str:
    return "identical" if pair.identical else inference.verdict(pair.difference, p)


def _of_group(group: list[Standing]) -> str:
    """Return a sentence of dimensions at which the heads stand alike."""
    first, where = group[0], f"At {_dims([standing.dim for standing in group])}"
    if first.seeds < inference.SEEDS:
        many = "One seed gives" if first.seeds == 1 else f"{first.seeds} seeds give"
        if any(pair.difference.mean < 0 for standing in group for pair in standing.behind.values()):
            return f"{many} no verdict. {where} no head is ahead of all others on the seeds that they share."
        highest = "has the highest accuracy" if first.alone else "has the highest accuracy of those compared"
        if len(group) > 1:
            return f"{many} no verdict. {where} {first.best} {highest}."
        where_both = f" on what seeds it shares with {next(iter(first.behind))}" if first.own_seeds else ""
        parts = [f"{first.best} {highest}, {100 * first.accuracy:.2f} %{where_both}", *_next(first)]
        return f"{many} no verdict. {where} {'; '.join(parts)}."
    return f"{where} {'; '.join(_parts(group))}."


def _next(standing: Standing) -> list[str]:
    """Return which heads predict as the best one does, and which is next to it."""
    alike, others = standing.heads("identical"), [head for head in standing.said if standing.said[head] != "identical"]
    said = [_alike(standing)] if alike else []
    if others:
        gap = 100 * standing.behind[others[0]].difference.mean
        points = f"{gap:.2f}" if gap >= 0.005 else "less than 0.01"
        said.append(f"{others[0]} is next, {f'{points} points below' if gap else 'as accurate'}")
    return said


def _alike(standing: Standing) -> str:
    return f"{_names([standing.best, *standing.heads('identical')])} predict the same class for every test image"


def _parts(group: list[Standing]) -> list[str]:
    """Return what is said of dimensions at which the heads stand alike, each with three seeds or more."""
    first, parts = group[0], list[str]()
    apart, tied, unresolved = (first.heads(word) for word in ("better", "tied", "unresolved"))
    # The best is compared with each of the others, and no two of these.
    if len(unresolved) == 1:
        parts.append(f"no difference between {_names([first.best, *unresolved])} is resolved")
    elif unresolved:
        beaten = any(standing.behind[head].difference.mean < 0 for standing in group for head in unresolved)
        nobody = f"none is ahead on all seeds that two share, and {first.best}'s"
        who = nobody if beaten else f"{first.best} is ahead, and its"
        parts.append(f"{who} differences to {_names(unresolved)} are not resolved")
    within = f"within ± {100 * inference.TIE:g} points"
    if len(tied) == 1:
        parts.append(f"{_names([first.best, *tied])} are tied, {within}")
    elif tied:
        parts.append(f"{_names(tied)} are tied with {first.best}, {within}")
    if first.heads("identical"):
        parts.append(_alike(first))
    if apart:
        others = "all others" if first.alone and 1 < len(apart) == len(first.said) else _names(apart)
        parts.append(f"{first.best} is better than {others}, {_gaps(group, apart)}")
    if ahead := first.heads("worse"):
        parts.append(f"{first.best} is worse than {_names(ahead)} on the seeds that these two share")
    if few := first.heads(""):
        parts.append(f"of {_names(few)} there are too few seeds")
    return parts


def _gaps(group: Sequence[Standing], heads: Sequence[str]) -> str:
    """Return how far heads are behind the best one, with intervals: the nearest of them, or over several dimensions the
    nearest and the farthest.
    """
    if len(group) > 1:
        gaps = [standing.behind[head].difference for standing in group for head in heads]
        least, most = (choose(gaps, key=lambda gap: gap.mean) for choose in (min, max))
        return f"by {100 * least.mean:.2f} points {_interval(least)} to {100 * most.mean:.2f} {_interval(most)}"
    found = group[0].behind[heads[0]].difference
    nearest = f" than {heads[0]}" if len(heads) > 1 else ""
    return f"by {100 * found.mean:.2f} points {_interval(found)}{nearest}"


def _interval(found: Difference) -> str:
    return f"[{100 * found.low:.2f}, {100 * found.high:.2f}]"


def _not_compared(rows: pd.DataFrame, found: Sequence[Standing]) -> list[str]:
    """Return at which dimensions nothing is said of several heads, and of which heads elsewhere; and why."""
    compared = {standing.dim: [standing.best, *standing.said] for standing in found}
    several = {dim: heads for dim, heads in differences.by_head(columns.finished(rows)).items() if len(heads) > 1}
    why, without = dict[str, list[int]](), dict[str, dict[str, list[int]]]()
    for dim, heads in several.items():
        marks = {head: _marks(own) for head, own in heads.items() if head not in compared.get(dim, ())}
        if dim not in compared:
            sound = [head for head, marked in marks.items() if not marked]
            reason = "no two have a seed in common" if len(sound) > 1 else "fewer than two may be judged"
            if len(differences.sharing({head: heads[head] for head in sound})) > 1:
                reason = UNKNOWN
            why.setdefault(reason, []).append(dim)
        for head, marked in marks.items():
            if marked or dim in compared:
                shared = set(heads[head]["seed"]) & set(heads[next(iter(compared[dim]))]["seed"]) if not marked else ()
                reason = marked or (UNKNOWN if shared else "no seed in common with the others")
                without.setdefault(reason, {}).setdefault(head, []).append(dim)
    said = [f"At {_dims(dims)} no heads are compared: {reason}." for reason, dims in why.items()]
    for reason, by_head in without.items():
        by_dims = dict[str, list[str]]()
        for head, dims in by_head.items():
            by_dims.setdefault(_dims(dims), []).append(head)
        said += [
            f"{_names(heads)} {'has' if len(heads) == 1 else 'have'} no verdict at {at}: {reason}."
            for at, heads in by_dims.items()
        ]
    return said


def _marks(own: pd.DataFrame) -> str:
    """Return the marks of a head's cells, nothing where all are sound."""
    told = own.loc[~health.sound(own), "health"].tolist()
    return ", ".join(mark for mark in health.MARKS if any(mark in words for words in told))


def _left_out(rows: pd.DataFrame) -> list[str]:
    """Return what has no number and why: heads that do not apply, cells that failed."""
    said, heads = list[str](), dict[str, list[str]]()
    inapplicable = rows[rows["status"] == "not_applicable"]
    for head, part in inapplicable.groupby("head_label", sort=False):
        heads.setdefault(_dims(part["feature_dim"]), []).append(str(head))
    for dims, own in heads.items():
        said.append(f"{_names(own)} {'does' if len(own) == 1 else 'do'} not apply at {dims}.")
    failed = rows[rows["status"] == "failed"]
    if len(failed):
        count = "1 cell failed and is" if len(failed) == 1 else f"{len(failed)} cells failed and are"
        said.append(f"{count} in no number: {_names(dict.fromkeys(failed['head_label']))}.")
    return said


def _dims(dims: Iterable[int]) -> str:
    return f"d = {_joined([str(dim) for dim in sorted(set(dims))])}"


def _names(names: Iterable[str]) -> str:
    """Join the names of heads as a sentence does, a few of many."""
    own = list(names)
    return _joined([*own[:NAMED], f"{len(own) - NAMED} more"] if len(own) > NAMED else own)


def _joined(own: list[str]) -> str:
    return own[0] if len(own) == 1 else f"{', '.join(own[:-1])} and {own[-1]}"
