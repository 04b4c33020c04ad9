"""The tables of recorded rows in Markdown: ``python benchmarks/recorded_tables.py lt-short lt-confounders``.

They are those of a report that need rows alone: accuracy by group with calibration and compute for each comparison,
accuracy by recipe and against compute, and measured beside published. Nothing is bold but the Pareto front of compute,
and no claim is judged, since which test images a head gets right is not in the rows. ``--order psc ldam proco`` adds
the order of these heads by recipe.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from headbench.core.errors import UserError, suggest
from headbench.results import columns, recorded
from headbench.results.answers import Answers
from headbench.results.tables import by_compute, by_recipe, published, render
from headbench.results.tables.base import Table, describe, named_comparisons, unmarked
from headbench.results.tables.groups import groups
from headbench.runners.grid import config

# A folder without cells.
NOWHERE = Answers(Path(__file__).parent / "nowhere")


def read(names: list[str]) -> pd.DataFrame:
    """Return the rows of some files of ``results/measured/``; of an experiment that several have, the last one's.

    Raises:
        UserError: for a file that is not there.
    """
    known = [file.stem for file in recorded.FOLDER.glob("*.csv")]
    for name in names:
        if name not in known:
            raise UserError(f"results/measured/ has no '{name}'; {suggest(name, known)}")
    rows = pd.concat([recorded.load(recorded.FOLDER / f"{name}.csv") for name in names], ignore_index=True)
    rows = rows.drop_duplicates(recorded.EXPERIMENT, keep="last")
    labels = {label: place for place, label in enumerate(dict.fromkeys(in_grids(names)))}
    return rows.sort_values("head_label", key=lambda own: own.map(labels), kind="stable").reset_index(drop=True)


def in_grids(names: list[str]) -> Iterator[str]:
    """Yield the labels of the heads of recorded grids that come with the harness, in their order.

    A derived grid, ``lt-short+3bf1d1``, has the order of what it is derived from.
    """
    for name in dict.fromkeys(name.partition("+")[0] for name in names):
        if name in config.grid_names():
            contents, place = config.read_grid(name)
            one = contents | {"axes": contents["axes"] | {"seed": [0]}}
            yield from (cell.head_label for cell in config.expand(config.parse_grid(one, place), "auto"))


def tables(rows: pd.DataFrame, heads: list[str]) -> Iterator[Table]:
    """Yield the tables of some rows, and the order of some heads where there are any."""
    for name, (description, part) in named_comparisons(rows).items():
        yield groups(part, NOWHERE, "last", description, name)
    yield from by_recipe.tables(rows, NOWHERE, "last")
    yield from by_compute.tables(rows, "last")
    if heads:
        yield from orders(rows, heads)
    yield from published.tables(rows, "last")


def orders(rows: pd.DataFrame, heads: list[str]) -> Iterator[Table]:
    """Yield for all comparisons that differ in their recipe alone the order of some heads by their mean accuracy, of
    each recipe and dimension that has each of them once.

    Args:
        rows: recorded ones.
        heads: names or labels.
    """
    last = rows[(rows["selection"] == "last") & (rows["head"].isin(heads) | rows["head_label"].isin(heads))]
    for key, part in last.groupby(by_recipe.APART, sort=False, dropna=False):
        lines = dict[tuple[Any, ...], str]()
        means = part.groupby(["recipe", "epochs", "feature_dim", "head_label"])["top1"].agg(["mean", "count"])
        for (recipe, epochs, dim), own in means.groupby(level=[0, 1, 2]):
            best = own.droplevel([0, 1, 2]).sort_values("mean", ascending=False)
            if len(best) == len(heads):
                words = [f"{head} {100 * row['mean']:.2f} (n={row['count']:.0f})" for head, row in best.iterrows()]
                lines[epochs, dim, recipe] = ", ".join(words)
        if lines:
            index = pd.MultiIndex.from_tuples(sorted(lines), names=["epochs", "d", "recipe"])
            cells = pd.DataFrame({"best first": [lines[at] for at in index]}, index=index)
            caption = f"Order by mean top-1 test accuracy in %, last epoch; no test. {describe(by_recipe.APART, key)}."
            yield Table("orders", caption, cells, unmarked(cells), part[columns.names("axis", "comparison")])


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; return the exit status."""
    parser = argparse.ArgumentParser(description="print the tables of recorded rows in Markdown")
    parser.add_argument("names", nargs="+", metavar="NAME", help="of files in results/measured/, without .csv")
    parser.add_argument(
        "--order", nargs="+", default=[], metavar="HEAD", help="names or labels of heads to be put in order"
    )
    asked = parser.parse_args(arguments)
    try:
        rows = read(asked.names)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(render.markdown(table) for table in tables(rows, asked.order)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
