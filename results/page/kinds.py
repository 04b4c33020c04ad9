"""The kinds of tables and figures of a page: in which section they stand, and what a figure shows."""

import re
from collections.abc import Iterable

# The sections in their order: title, and the kinds of tables and figures that belong there, as their names tell.
SECTIONS = {
    "Accuracy": "accuracy imbalance",
    "Differences": "pairs differences images ranks sensitivity",
    "Calibration": "calibration ece reliability",
    "Out of distribution": "ood",
    "Beside the published numbers": "published",
    "Claims": "claims",
    "Long tails": "groups",
    "Classes": "classes confusion",
    "Training": "curves",
    "Geometry and assignment": "collapse assignment",
    "Compute": "recipes compute",
}
REST = "More"
# Kinds that are of a data set, beyond its comparisons.
BEYOND = "imbalance published recipes compute".split()
# What a figure of a kind shows, also for those who cannot see it.
SHOWN = {
    "accuracy": "Top-1 test accuracy against the feature dimension, a line per head",
    "imbalance": "Top-1 test accuracy and ECE against the imbalance factor, a line per head",
    "differences": "Differences of top-1 accuracy to the first head with intervals, by dimension",
    "images": "Counts of test images that only one of two heads gets right, a bar per pair",
    "sensitivity": "Places of the heads by average rank with one head, seed or data set left out",
    "confusion": "Which classes are taken for which, by head",
    "curves": "Training loss and validation accuracy by epoch, a line per head",
    "ranks": "Critical-difference diagram of average ranks",
    "ece": "Debiased ECE in three views against the feature dimension, a line per head",
    "reliability": "Reliability diagrams: accuracy against confidence, a panel per head",
    "collapse": "Cosines of class means and class vectors less those of a simplex, a panel per head",
    "assignment": "How many classes change their prototype by epoch",
    "ood": "AUROC against other data sets by three scores against the feature dimension, a line per head",
    "compute": "Top-1 test accuracy against compute and seconds of training, with the Pareto front",
    # Of a search.
    "history": "Validation metric of every trial by its number and the best so far, a line per head",
    "budgets": "Expected best validation metric against the number of trials, a line per head",
    "front": "Two validation metrics of every trial, with the Pareto front of each head",
    "importance": "How much each searched value matters to the validation metric",
    "parallel": "Values and validation metric of every trial, a line per trial",
}


def kind_of(name: str, prefixes: Iterable[str]) -> str:
    """Return the kind of a table or figure, the word behind the name of its comparison or data set: ``accuracy``, of
    a search behind that word: ``history``.

    Args:
        name: of the table or figure.
        prefixes: names of comparisons and data sets, the longest first.
    """
    own = next((own for own in prefixes if name.startswith(f"{own}-")), None)
    # A comparison that was searched alone, and not trained yet, is no prefix.
    rest = name.removeprefix(f"{own}-") if own else name[name.find("-search-") + 1 :]
    found = re.match(r"[a-z]+", rest.removeprefix("search-"))
    return found[0] if found else ""


def section_of(kind: str) -> str:
    """Return the title of the section of a kind."""
    return next((title for title, kinds in SECTIONS.items() if kind in kinds.split()), REST)
