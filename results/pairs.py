"""Heads against the first head of the grid, paired by seed: differences, intervals, exact tests."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from results import store
from results.calibration import Ints
from results.statistics import Bools, holm, mcnemar, paired
from results.tables import SELECTIONS, Table, interval


def table(rows: pd.DataFrame, out: Path, selection: str, description: str, name: str) -> Table | None:
    """Return the table of paired differences of top-1 accuracy, or None where no head was trained beside the first one.

    Args:
        rows: of one comparison.
        out: folder of the runs; where there is a single seed, the stored predictions decide by McNemar's test over the test images.
        selection: whose rows are compared.
        description: of the comparison, for the caption.
        name: of the comparison, for the file.
    """
    done = rows[(rows["selection"] == selection) & (rows["status"] == "done")]
    if done.empty:
        return None
    reference = rows["head_label"].iloc[0]
    found = []
    for dim, part in done.groupby("feature_dim"):
        base = part[part["head_label"] == reference].set_index("seed")
        known: dict[int, tuple[Ints, Bools] | None] = {}
        for head in (label for label in dict.fromkeys(part["head_label"]) if label != reference):
            other = part[part["head_label"] == head].set_index("seed")
            both = base.index.intersection(other.index)
            if both.empty:
                continue
            test = paired(100 * (other.loc[both, "top1"] - base.loc[both, "top1"]).to_numpy(dtype=float))
            images = math.nan
            if test.n == 1:
                if both[0] not in known:
                    known[both[0]] = _answers(out, base.loc[both[0], "cell_id"], selection)
                images = _mcnemar(known[both[0]], _answers(out, other.loc[both[0], "cell_id"], selection))
            found.append({"d": dim, "head": head} | vars(test) | {"mcnemar": images})
    if not found:
        return None
    tidy = pd.DataFrame(found)
    # One seed has no test over seeds, whose p would be 1 and only weaken the correction of the others.
    tested = tidy["p"].where(tidy["n"] > 1, tidy["mcnemar"])
    tidy["holm"] = holm(tested.to_numpy(dtype=float))
    cells = pd.DataFrame(
        {
            f"minus {reference} [95 % interval]": [interval(*numbers) for numbers in tidy[["mean", "low", "high"]].itertuples(index=False)],
            "seeds": tidy["n"].astype(str),
            "sign-flip p (smallest)": [f"{p:.3f} ({least:.3f})" if n > 1 else "-" for p, least, n in tidy[["p", "smallest_p", "n"]].itertuples(index=False)],
            "McNemar p": [_number(p) for p in tidy["mcnemar"]],
            "Holm p": [_number(p) for p in tidy["holm"]],
        }
    ).set_index(pd.MultiIndex.from_frame(tidy[["d", "head"]]))
    seeds = int(tidy["n"].max())
    short = f" With {seeds} seeds no sign-flip test can reach p < 0.05." if 1 < seeds < 6 else ""
    caption = (
        f"Top-1 test accuracy minus that of {reference} in points, {SELECTIONS[selection]}, paired by seed: mean and 95 % interval (Student's t), "
        "exact sign-flip test with the smallest p that so many seeds can reach, for a single seed McNemar's exact test over the test images, "
        f"Holm's correction over the table.{short} {description}."
    )
    return Table(f"{name}-pairs-{selection}", caption, cells, pd.DataFrame(False, index=cells.index, columns=cells.columns), tidy)


def _number(p: float) -> str:
    return "-" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _answers(out: Path, cell_id: str, selection: str) -> tuple[Ints, Bools] | None:
    """Return the labels of a cell's test images and which it got right, None where its predictions cannot be used."""
    try:
        stored = store.read_predictions(store.cell_folder(out, cell_id), f"{selection}_test_logits", "test_labels")
    except store.DamagedError:
        return None
    return stored["test_labels"], stored[f"{selection}_test_logits"].argmax(axis=1) == stored["test_labels"]


def _mcnemar(first: tuple[Ints, Bools] | None, second: tuple[Ints, Bools] | None) -> float:
    """Return McNemar's p of the answers of two cells, NaN where there are none or the test sets differ."""
    if first is None or second is None or not np.array_equal(first[0], second[0]):
        return math.nan
    return mcnemar(first[1], second[1])
