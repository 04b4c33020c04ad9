"""Calibration errors again, from the stored predictions with another number of bins."""

from pathlib import Path

import pandas as pd

from headbench.core.errors import DamagedError
from headbench.results import store
from headbench.results.numbers import metrics


def recalibrate(rows: pd.DataFrame, out: Path, bins: int) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of a grid with all calibration errors, NLL, Brier score and their intervals computed anew.

    Temperatures stay: they do not depend on bins. Where scores were stored in half precision, NLL and Brier score
    change in the fourth digit.

    Args:
        rows: of :func:`headbench.results.load`.
        out: folder of the runs.
        bins: of the calibration errors, at least 1.

    Returns:
        The rows, and a line for each cell whose predictions are damaged and whose numbers stayed as they were.
    """
    fresh, damaged = rows.copy(), list[str]()
    for cell_id, own in rows[rows["status"] == "done"].groupby("cell_id", sort=False):
        folder = store.cell_folder(out, str(cell_id))
        try:
            names = [f"{selection}_test_logits" for selection in own["selection"]]
            stored = store.read_predictions(folder, *names, "test_labels")
        except DamagedError as damage:
            damaged.append(
                f"{damage} and its calibration not computed anew; remove the cell's result.json to train it again"
            )
            continue
        for (place, row), scores in zip(own.iterrows(), names, strict=True):
            for name, value in metrics.calibrated(
                stored[scores], stored["test_labels"], row["native_scale"], row["temperature"], bins
            ).items():
                fresh.loc[place, name] = value
    return fresh, damaged
