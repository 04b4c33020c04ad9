"""Measured accuracies beside the published ones, in the shape of the published table."""

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from headbench.results import columns
from headbench.results.columns import Column
from headbench.results.tables import published_numbers
from headbench.results.tables.base import (
    MISSING,
    SELECTIONS,
    SIGN,
    Table,
    note_on_marks,
    of_selection,
    over_seeds,
    seeds_of,
    summarise,
    unmarked,
)
from headbench.results.tables.groups import BY_COUNT
from headbench.results.tables.names import Names
from headbench.results.tables.published_numbers import Form, Training

# A table is of one data set and protocol; numbers come first.
ACROSS = sorted(
    (column for column in columns.AXES if column.name not in {"dataset", "protocol", "head_label", "seed"}),
    key=lambda column: column.kind == "text",
)
NUMBERS = [column.name for column in ACROSS if column.kind != "text"]
# What is read of rows beside a metric.
NEEDED = [*columns.names("bookkeeping", "comparison", "axis", "fact"), "selection"]
# What the tables show: by an ending of their names the words of a caption, and the metrics that stand across.
SHOWN = {
    "": ("Top-1 test accuracy", ("top1",)),
    "-groups": ("Test accuracy of many, medium and few classes, by training images", BY_COUNT),
}


def tables(rows: pd.DataFrame, selection: str, names: Names | None = None) -> list[Table]:
    """Return a table for every data set and protocol of which at least one number is published, and one more where the
    accuracy of many, medium and few classes is.

    Heads stand down; across stands what the grid varies: dimensions, imbalance factors or backbones. A cell holds the
    measured mean ± std, the published value and, where both are of as many epochs, the same augmentation, network and
    class counts, and of test images, the difference; a letter points to the footnote that says what is wrong with the
    published value, and what others got who ran it again.

    What is not known of one of them is taken as equal, an augmentation with a footnote. A network that no paper has is
    compared with theirs, which the caption names.

    Args:
        rows: of a grid.
        selection: which recorded selection.
        names: of the grid's tables.
    """
    made = []
    apart = [name for name in ("dataset", "protocol", "data_fingerprint") if name in rows]
    parts = dict(list(rows.groupby(apart, sort=False, dropna=False)))
    for key, name in (names or Names()).of(parts, "-published").items():
        part = parts[key]
        varied = [column for column in ACROSS if part[column.name].nunique() > 1] or [columns.NAMED["feature_dim"]]
        for shown, (what, metrics) in SHOWN.items():
            tidy = pd.DataFrame([row for metric in metrics for row in _beside_each(part, selection, varied, metric)])
            if "published" in tidy and tidy["published"].notna().any():
                made.append(_table(part, tidy, varied, f"{name}{shown}-{selection}", selection, what))
    return made


def _beside_each(rows: pd.DataFrame, selection: str, varied: list[Column], metric: str) -> Iterator[dict[str, Any]]:
    """Yield the cells of a table that are of one metric; none where no row has it, or no paper."""
    measured = metric in rows and rows[metric].notna().any()
    if not measured or not published_numbers.exist(rows["dataset"].iloc[0], metric):
        return
    rows = columns.narrow(rows, [*NEEDED, metric, f"{metric}_low", f"{metric}_high"])
    for _, part in rows.groupby(columns.COMPARISON, sort=False, dropna=False):
        chosen = of_selection(part, selection)
        forms = part.drop_duplicates("head_label").set_index("head_label").to_dict("index")
        of_head = Counter(own["head"] for own in forms.values())
        for row in summarise(chosen, metric).to_dict("records"):
            own = forms[row["head_label"]]
            training = _training(own, int(row["feature_dim"]))
            known = published_numbers.find(training, Form(own["head"], json.loads(own["head_options"])), metric)
            # A number of the head as such stands beside the plain head, or beside the only form of it that was trained.
            if known is None and (row["head_label"] == own["head"] or of_head[own["head"]] == 1):
                known = published_numbers.find(training, Form(own["head"]), metric)
            yield _number(row, own, varied) | _beside(row, known, training, own["backbone"])


def _table(rows: pd.DataFrame, tidy: pd.DataFrame, varied: list[Column], name: str, selection: str, what: str) -> Table:
    titles = list(dict.fromkeys(tidy.sort_values(NUMBERS[::-1], kind="stable")["column"]))
    notes = list(dict.fromkeys(tidy["footnote"].dropna()))
    letters = {note: _letters(place) for place, note in enumerate(notes)}
    heads = list(dict.fromkeys(tidy["head_label"]))
    cells = pd.DataFrame("-", index=pd.Index(heads, name="head"), columns=titles)
    usual = seeds_of(tidy)
    for _, row in tidy.iterrows():
        cells.loc[row["head_label"], row["column"]] = _text(row, usual, letters)
    first = rows.iloc[0]
    shared = ", ".join(
        column.said(first[column.name]) if column.quiet else f"{column.heading} {first[column.name]}"
        for column in ACROSS
        if (column.quiet or column.name not in NUMBERS) and column not in varied and first[column.name] != column.usual
    )
    caption = (
        f"{what} in %: measured ({SELECTIONS[selection]}, {over_seeds(tidy)}) / published (difference). "
        f"{'A value without ± is of one seed. ' if usual > 1 and (tidy['n'] == 1).any() else ''}"
        f"{first['dataset']}, protocol {first['protocol']}"
        + (f", {shared}" if shared else "")
        + ". The published values are of other code and recipes: "
        + "; ".join(sorted(set(tidy["published_from"].dropna())))
        + "."
        + "".join(f" {letters[note]}: {note}." for note in notes)
        + note_on_marks(tidy)
    )
    return Table(name, caption, cells, unmarked(cells), tidy)


def _letters(place: int) -> str:
    """Return the mark of a footnote: a to z, then aa."""
    return (_letters(place // 26 - 1) if place >= 26 else "") + chr(ord("a") + place % 26)


def _training(own: Mapping[Hashable, Any], dim: int) -> Training:
    """Return what a head's rows at one dimension are of."""
    backbone = Form(own["backbone_name"], json.loads(own["backbone_options"]))
    augmentation = own.get("augmentation")
    # Rows of earlier harnesses do not tell it.
    known = augmentation if isinstance(augmentation, str) else ""
    factor, step = float(own["imbalance_factor"]), published_numbers.is_step(own["protocol"])
    return Training(own["dataset"], factor, dim, backbone, own["epochs"], known, step)


def _number(row: Mapping[Hashable, Any], own: Mapping[Hashable, Any], varied: list[Column]) -> dict[str, Any]:
    """Return what was measured of one cell of the table."""
    group = [columns.NAMED[row["metric"]].title] if row["metric"] in BY_COUNT else []
    values = {column.name: (row if column.name == "feature_dim" else own)[column.name] for column in ACROSS}
    return values | {
        "head_label": row["head_label"],
        "metric": row["metric"],
        "column": ", ".join([*(column.above(values[column.name]) for column in varied), *group]),
        "state": row["state"],
        "measured": 100 * row["mean"],
        "std": 100 * row["std"],
        "n": row["n"],
        "mean": row["mean"],
        "marked": row["marked"],
    }


def _beside(row: Mapping[Hashable, Any], known: pd.Series | None, own: Training, backbone: str) -> dict[str, Any]:
    """Return what is published beside one cell of the table, and whether and how it differs."""
    if known is None:
        names = "published published_std difference flag footnote published_from".split()
        return dict.fromkeys(names, np.nan) | {"flag": None, "footnote": None, "published_from": None}
    network = f"{known['backbone']}, " if known["backbone"] != backbone else ""
    unlike, again = published_numbers.unlike(known, own), published_numbers.reruns(known)
    apart = any(flag in known["flag"] for flag in published_numbers.UNCOMPARED)
    told = [
        *(
            [f"{known['flag']}: {known['note']}{', so not compared' if apart and not unlike else ''}"]
            if known["flag"]
            else []
        ),
        *([", and ".join([*unlike, "so not compared"])] if unlike else []),
        *([] if known["augmentation"] and own.augmentation else ["not known whether the augmentation is the same"]),
        *([f"run again by others: {', '.join(again)}"] if again else []),
    ]
    return {
        "published": known["value"],
        "published_std": known["std"],
        "difference": np.nan if unlike or apart else 100 * row["mean"] - known["value"],
        "flag": known["flag"] or None,
        "footnote": "; ".join(told) or None,
        "published_from": f"{known['source']} ({network}{known['selection']}, {known['evidence']})",
    }


def _text(row: pd.Series, usual: int, letters: dict[str, str]) -> str:
    missing = MISSING.get(row["state"], "-")
    spread = f" ± {row['std']:.2f}" if row["n"] > 1 else ""
    # One seed is told by its lack of a spread.
    spread += f" (n={row['n']})" if 1 < row["n"] < usual else ""
    measured = f"{row['measured']:.2f}{spread}{f' {SIGN}' if row['marked'] else ''}" if row["n"] else missing
    if np.isnan(row["published"]):
        return measured
    mark = f" {letters[row['footnote']]}" if isinstance(row["footnote"], str) else ""
    difference = "" if np.isnan(row["difference"]) else f" ({row['difference']:+.2f})"
    return f"{measured} / {row['published']:.2f}{difference}{mark}"
