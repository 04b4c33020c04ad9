"""How well heads tell other data sets from their own, against the feature dimension."""

import pandas as pd

from headbench.results.figures.base import Drawn
from headbench.results.figures.lines import caption, draw
from headbench.results.numbers.ood import METRICS

AUROCS = [name for name in METRICS if "auroc" in name]


def outside(rows: pd.DataFrame, description: str) -> Drawn:
    """Draw how well the last epoch tells other data sets from its own, the AUROC by each score and its mean over these
    sets, against the feature dimension: mean and standard deviation over seeds, a line per head.

    Args:
        rows: of one comparison.
        description: of it.
    """
    figure, summary = draw(rows, tuple(AUROCS), "feature_dim")
    what = f"AUROC against {rows['ood'].dropna().iloc[0]} by feature dimension"
    return Drawn(figure, caption(what, summary, [], description))
