"""Accuracy and calibration errors against the imbalance factor."""

import pandas as pd

from headbench.results.figures.base import Drawn
from headbench.results.figures.ece import VIEWS
from headbench.results.figures.lines import caption, draw


def imbalance(rows: pd.DataFrame, description: str) -> Drawn:
    """Draw top-1 accuracy and the ECE of the last epoch against the imbalance factor.

    Args:
        rows: of comparisons that differ in their imbalance factor and protocol alone, of one dimension.
        description: of them.
    """
    figure, summary = draw(rows, ("top1", *VIEWS), "imbalance_factor")
    what = "Top-1 test accuracy and calibration error by imbalance factor"
    return Drawn(figure, caption(what, summary, [], description))
