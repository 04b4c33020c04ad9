"""The calibration of heads in three views."""

import pandas as pd

from headbench.results import columns
from headbench.results.answers import Answers
from headbench.results.differences import at_the_floor
from headbench.results.numbers.calibration import TEMPERATURES
from headbench.results.tables.base import (
    SELECTIONS,
    Table,
    badly_fitted,
    explained,
    marks,
    note_on_marks,
    over_seeds,
    primary,
    seeds_of,
    summaries,
)

SHOWN = "top1 ece_raw ece_native ece_temperature ece_floor smooth_ece temperature nll brier".split()


def calibration(rows: pd.DataFrame, answers: Answers, selection: str, description: str, name: str) -> Table:
    """Return the calibration table: dimension and head down.

    Accuracy, ECE in three views, its floor, smooth ECE, temperature, NLL and Brier score across.

    ECE in percent and debiased, in the primary view with its interval. Floor, smooth ECE, NLL and Brier score are those
    of the temperature view, or of the native one where there is no validation part. In bold ECE temperature, NLL and
    Brier score that are not separated from the best of their dimension, no ECE where the best is below its floor; the
    other views are not comparable between heads.
    """
    titles, view = columns.titles(SHOWN), primary(rows)
    cells, tidy = summaries(rows, selection, titles, f"ece_{view}")
    bold = marks(cells, rows, answers, selection, columns.titles(("ece_temperature", "nll", "brier")))
    if few := badly_fitted(rows):
        title = titles["temperature"]
        cells[title] = cells[title].where(cells[title] == "-", cells[title] + "*")
    bins = rows["calibration_bins"].dropna().iloc[0]
    ends = ", means of the seeds' ends" if seeds_of(tidy) > 1 else ", and of NLL and Brier score by the bootstrap"
    if seeds_of(tidy) > 1 and (tidy["n"] == 1).any():
        ends += "; of one seed also of NLL and Brier score, by the bootstrap"
    caption = (
        f"Calibration on the test set, {SELECTIONS[selection]}, {bins} bins, ECE and top-1 in %, {over_seeds(tidy)}. "
        f"ECE is debiased; in brackets the 95 % "
        f"interval over test images, of the true ECE in the {view} view{ends}. Floor: the plain ECE that a "
        f"perfectly calibrated head of the same "
        f"confidences shows on as many images. Smooth ECE is not debiased.{explained(bold)} {description}."
    )
    notes = (_at_the_floor(rows, selection), _without(rows, selection), _at_the_edge(rows, selection))
    caption += "".join((f" *{few}" if few else "", *notes, note_on_marks(tidy)))
    return Table(f"{name}-calibration-{selection}", caption, cells, bold, tidy)


def _at_the_floor(rows: pd.DataFrame, selection: str) -> str:
    """Return a sentence on the dimensions where no calibration error can be bold; nothing where there are none."""
    metric = "ece_temperature"
    dims = ", ".join(map(str, at_the_floor(columns.finished(rows, selection), metric)))
    if not dims:
        return ""
    return (
        f" No {columns.titles([metric])[metric]} is bold at d = {dims}, whatever the others are: the least "
        "there is no larger than its floor."
    )


def _without(rows: pd.DataFrame, selection: str) -> str:
    """Return a sentence on the heads without a temperature beside some that have one; nothing where there are none."""
    own = columns.finished(rows, selection)
    heads = dict.fromkeys(own.loc[own["temperature"].isna(), "head_label"])
    if not heads or own["temperature"].isna().all():
        return ""
    return (
        f" No temperature was fitted for {', '.join(heads)}: floor, smooth ECE, NLL and Brier score are of the native "
        "view there, and not compared with the others'."
    )


def _at_the_edge(rows: pd.DataFrame, selection: str) -> str:
    """Return a sentence on the heads with a temperature that is an end of its range, and so none that fits; nothing
    where there are none.
    """
    low, high = TEMPERATURES
    known = rows[rows["selection"] == selection].dropna(subset="temperature")
    edge = known[(known["temperature"] < 1.01 * low) | (known["temperature"] > high / 1.01)]
    heads = dict.fromkeys(
        f"{head}, d = {dim}" for head, dim in zip(edge["head_label"], edge["feature_dim"], strict=True)
    )
    return f" No temperature in [{low:g}, {high:g}] fits; T is an end of it: {'; '.join(heads)}." if heads else ""
