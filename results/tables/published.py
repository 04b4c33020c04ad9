"""Measured accuracies beside the published ones, in the shape of the published table."""

import json
from typing import Any

import numpy as np
import pandas as pd

from headbench.results.tables import published_numbers
from headbench.results.tables.base import (
    COMPARISON,
    SELECTIONS,
    SIGN,
    Table,
    note_on_marks,
    over_seeds,
    summarise,
    unmarked,
)

VARIED = ["imbalance_factor", "feature_dim", "backbone", "recipe", "projection"]
TITLES = {
    "imbalance_factor": "IF {:g}",
    "feature_dim": "d = {}",
    "backbone": "{}",
    "recipe": "recipe {}",
    "projection": "projection {}",
}


def tables(rows: pd.DataFrame, selection: str) -> list[Table]:
    """Return a table for every data set and protocol of which at least one number is published.

    Heads stand down; across stands what the grid varies: dimensions, imbalance factors or backbones. A cell holds the
    measured mean ± std, the published value and the difference; a letter points to the footnote that says what is wrong
    with the published value.

    Args:
        rows: of a grid.
        selection: which recorded selection.
    """
    made = []
    for (dataset, protocol), part in rows.groupby(["dataset", "protocol"], sort=False):
        table = _table(
            part,
            selection,
            str(dataset),
            str(protocol),
            alone=rows.loc[rows["dataset"] == dataset, "protocol"].nunique() == 1,
        )
        if table is not None:
            made.append(table)
    return made


def _table(rows: pd.DataFrame, selection: str, dataset: str, protocol: str, alone: bool) -> Table | None:
    varied = [key for key in VARIED if rows[key].nunique() > 1] or ["feature_dim"]
    found = []
    for key, part in rows.groupby(COMPARISON, sort=False, dropna=False):
        facts = dict(zip(COMPARISON, key, strict=True))
        chosen = part[(part["selection"] == selection) | (part["status"] != "done")]
        forms = part.drop_duplicates("head_label").set_index("head_label")
        for _, row in summarise(chosen, "top1").iterrows():
            head, options = forms.loc[row["head_label"], ["head", "head_options"]]
            known = _known(dataset, head, row, facts, json.loads(options))
            # A number of the head as such stands beside the plain head, or beside the only form of it that was trained.
            if known is None and (row["head_label"] == head or (forms["head"] == head).sum() == 1):
                known = _known(dataset, head, row, facts, None)
            found.append(_number(row, known, facts, varied))
    tidy = pd.DataFrame(found)
    if not tidy["published"].notna().any():
        return None
    columns = list(dict.fromkeys(tidy.sort_values(["feature_dim", "imbalance_factor"], kind="stable")["column"]))
    notes = list(dict.fromkeys(tidy["footnote"].dropna()))
    letters = {note: chr(ord("a") + place) for place, note in enumerate(notes)}
    heads = list(dict.fromkeys(tidy["head_label"]))
    cells = pd.DataFrame("-", index=pd.Index(heads, name="head"), columns=columns)
    for _, row in tidy.iterrows():
        cells.loc[row["head_label"], row["column"]] = _text(row, letters)
    shared = ", ".join(
        f"{key} {rows[key].iloc[0]}" for key in ("backbone", "recipe", "projection") if key not in varied
    )
    caption = (
        f"Top-1 test accuracy in %: measured ({SELECTIONS[selection]}, {over_seeds(tidy)}) / published (difference). "
        f"{dataset}, protocol {protocol}"
        + (f", {shared}" if shared else "")
        + ". The published values are of other code and recipes: "
        + "; ".join(sorted(set(tidy["published_from"].dropna())))
        + "."
        + "".join(f" {letters[note]}: {note}." for note in notes)
        + note_on_marks(tidy)
    )
    name = f"{dataset}{'' if alone else f'-{protocol}'}-published-{selection}".replace(" ", "-")
    return Table(name, caption, cells, unmarked(cells), tidy)


def _known(
    dataset: str, head: str, row: pd.Series, facts: dict[str, Any], options: dict[str, Any] | None
) -> pd.Series | None:
    name = dataset.partition("(")[0]
    return published_numbers.find(
        name, head, int(row["feature_dim"]), float(facts["imbalance_factor"]), str(facts["backbone"]), options
    )


def _number(row: pd.Series, known: pd.Series | None, facts: dict[str, Any], varied: list[str]) -> dict[str, Any]:
    """Return one cell of the table: what was measured, and what is published for it."""
    values = facts | {"feature_dim": row["feature_dim"]}
    number = {key: values[key] for key in VARIED} | {
        "head_label": row["head_label"],
        "column": ", ".join(TITLES[key].format(values[key]) for key in varied),
    }
    number |= {
        "state": row["state"],
        "measured": 100 * row["mean"],
        "std": 100 * row["std"],
        "n": row["n"],
        "mean": row["mean"],
        "marked": row["marked"],
    }
    if known is None:
        return number | {
            "published": np.nan,
            "published_std": np.nan,
            "difference": np.nan,
            "flag": None,
            "footnote": None,
            "published_from": None,
        }
    backbone = f"{known['backbone']}, " if known["backbone"] != facts["backbone"] else ""
    flag = f"{known['flag']}: {known['note']}" if known["flag"] else None
    return number | {
        "published": known["value"],
        "published_std": known["std"],
        "difference": 100 * row["mean"] - known["value"],
        "flag": known["flag"] or None,
        "footnote": flag,
        "published_from": f"{known['source']} ({backbone}{known['selection']}, {known['evidence']})",
    }


def _text(row: pd.Series, letters: dict[str, str]) -> str:
    missing = {"not_applicable": "n/a", "failed": "failed", "pruned": "pruned"}.get(row["state"], "-")
    spread = f" ± {row['std']:.2f}" if row["n"] > 1 else ""
    measured = f"{row['measured']:.2f}{spread}{f' {SIGN}' if row['marked'] else ''}" if row["n"] else missing
    if np.isnan(row["published"]):
        return measured
    mark = f" {letters[row['footnote']]}" if isinstance(row["footnote"], str) else ""
    difference = f" ({row['difference']:+.2f})" if row["n"] else ""
    return f"{measured} / {row['published']:.2f}{difference}{mark}"
