"""How classes are re-assigned to prototypes from epoch to epoch, from the cells' ``history.csv``."""

import pandas as pd

from headbench.results.compared import Comparison
from headbench.results.figures import histories
from headbench.results.figures.base import Drawn, canvas, heads_of, legend, names_of, styles

PLACE = 9
CHANGES, SIMILARITY = "assignment_changes", "assignment_similarity"


def compared(comparison: Comparison) -> dict[str, Drawn]:
    """Return the figure of the heads that re-assign classes, each at its smallest dimension, where a class has the most
    neighbours.
    """
    last = comparison.last
    smallest = last[last["feature_dim"] == last.groupby("head_label")["feature_dim"].transform("min")]
    history, damaged = histories.read(smallest, comparison.out)
    comparison.lines.extend(damaged)
    drawn = assignment(history, names_of(comparison.rows), comparison.description, heads_of(comparison.rows))
    return {} if drawn is None else {"assignment": drawn}


def assignment(
    history: pd.DataFrame, names: dict[str, str], description: str, heads: dict[str, str] | None = None
) -> Drawn | None:
    """Draw how many classes changed their prototype before each epoch, and how similar class means and prototypes then
    were.

    One line per head and seed, each head at its smallest dimension; None where no head re-assigns classes.

    Args:
        history: of :func:`headbench.results.figures.histories.read`.
        names: what the figure calls the heads, by label.
        description: of the comparison.
        heads: all of the comparison, as ``heads_of`` gives them, for a head to look alike in all figures; by default
            those of the history.
    """
    if CHANGES not in history:
        return None
    moved = history.dropna(subset=[CHANGES])
    dims = moved.groupby("head_label", sort=False)["feature_dim"].min()
    moved = moved[moved["feature_dim"] == moved["head_label"].map(dims)]
    looks, labels = styles(heads or heads_of(history)), dict[str, object]()
    with canvas(0.62, wide=True) as figure:
        left, right = figure.subplots(1, 2)
        for (head, _), own in moved.groupby(["head_label", "seed"], sort=False):
            look = looks[str(head)].sparsely_marked(len(own))
            (labels[names[str(head)]],) = left.plot(own["epoch"], own[CHANGES], **look)
            right.plot(own["epoch"], own[SIMILARITY] / own["num_classes"], **look)
        classes = int(moved["num_classes"].iloc[0])
        left.set(xlabel="epoch", ylabel=f"classes re-assigned, of {classes}", ylim=(-0.03 * classes, 1.03 * classes))
        right.set(xlabel="epoch", ylabel="mean similarity of class\nmean and its prototype", ylim=(None, 1.03))
        legend(figure, list(labels.values()), list(labels))
    caption = (
        "Classes that changed their prototype before each epoch, and how similar class means and prototypes then were, "
        "a line per head and seed; the class means of the first epoch are not known before it, which counts as 0. "
        f"{_told(dims.rename(names))}. {description}."
    )
    return Drawn(figure, caption)


def _told(dims: pd.Series) -> str:
    """Return the dimensions of heads in words, those that differ from the smallest by head: ``d = 2; of hpn 5``."""
    others = [f"of {name} {dim}" for name, dim in dims.items() if dim != dims.min()]
    return "; ".join([f"d = {dims.min()}", *others])
