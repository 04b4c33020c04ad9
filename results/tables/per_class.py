"""Accuracy by class."""

from pathlib import Path

import pandas as pd

from headbench.results import store
from headbench.results.compared import Comparison
from headbench.results.numbers.health import sound
from headbench.results.tables.base import SELECTIONS, SIGN, Table, at_largest_dim, note_on_marks, over_seeds, unmarked

PLACE = 3


def compared(comparison: Comparison) -> Table:
    """Return the table of a comparison."""
    return table(comparison.rows, comparison.out, comparison.description, comparison.name)


def table(rows: pd.DataFrame, out: Path, description: str, name: str) -> Table:
    """Return the table of accuracy by class: classes down, heads across, each at the largest dimension at which it was
    trained.

    Nothing is bold: a class has too few images to tell heads apart.

    Args:
        rows: of one comparison, with cells of the selection ``last``.
        out: folder of the runs; the accuracies are in the cells' ``result.json``.
        description: of the comparison.
        name: of the comparison, for the file.
    """
    found, names, shown = [], list[str](), at_largest_dim(rows)
    marked = set(shown.loc[~sound(shown), "head_label"])
    for _, row in shown.iterrows():
        result = store.read_result(store.cell_folder(out, row["cell_id"]))
        assert result is not None
        names, accuracies = names or result["class_names"], result["selections"]["last"]["per_class_accuracy"]
        # By number, since ImageNet has two classes of one name. None, as JSON has no NaN, is a class without test
        # images.
        column = f"{row['head_label']}, d = {row['feature_dim']}" + (f" {SIGN}" if row["head_label"] in marked else "")
        found += [
            {"number": number, "class": known, "head": column, "top1": top1}
            for number, (known, top1) in enumerate(zip(names, accuracies, strict=True))
        ]
    keys = ["number", "class", "head"]
    tidy = (
        pd.DataFrame(found)
        .astype({"top1": float})
        .groupby(keys, sort=False)["top1"]
        .agg(mean="mean", std="std", n="count")
        .reset_index()
    )
    spread = [f" ± {100 * std:.2f}" if n > 1 else "" for std, n in zip(tidy["std"], tidy["n"], strict=True)]
    texts = [
        f"{100 * mean:.2f}{more}" if n else "-" for mean, more, n in zip(tidy["mean"], spread, tidy["n"], strict=True)
    ]
    heads = list(dict.fromkeys(tidy["head"]))
    cells = tidy.assign(text=texts).pivot(index="number", columns="head", values="text")[heads]
    cells.columns.name = None
    cells.index = pd.Index(names, name="class")
    caption = (
        f"Accuracy by class in %, {SELECTIONS['last']}, {over_seeds(tidy)}. "
        f"{description}.{note_on_marks(shown.assign(marked=~sound(shown)))}"
    )
    return Table(f"{name}-classes", caption, cells, unmarked(cells), tidy)
