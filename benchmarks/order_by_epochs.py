"""The figure of CIFAR-100 by the length of training: ``python benchmarks/order_by_epochs.py``.

It writes ``docs/figures/cifar100-epochs.png`` of recorded rows and published numbers; nothing is trained.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from headbench.results import recorded
from headbench.results.figures.base import canvas, encode, legend, plain_log, styles
from headbench.results.tables import published_numbers

# Files of recorded rows, one of each number of epochs.
RECORDED = ("cifar100-dims+2c4224", "cifar100-dims")
HEADS = ("psc", "hpn", "dl2pa")
DIMS = (10, 25, 50, 100)
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "cifar100-epochs.png"


def measured() -> pd.DataFrame:
    """Return the mean test accuracy in % of the last epoch by ``feature_dim``, ``head`` and ``epochs``."""
    rows = pd.concat([recorded.load(recorded.FOLDER / f"{name}.csv") for name in RECORDED])
    rows = rows[(rows["selection"] == "last") & rows["head_label"].isin(HEADS) & rows["feature_dim"].isin(DIMS)]
    means = rows.groupby(["feature_dim", "head", "epochs"])["top1"].mean()
    return (100 * means).reset_index()


def published() -> pd.DataFrame:
    """Return the same of the numbers that the repository of DL2PA publishes, which has all three heads."""
    rows = published_numbers.load()
    rows = rows[(rows["table"] == "dl2pa") & (rows["dataset"] == "cifar100") & (rows["imbalance_factor"] == 1)]
    rows = rows[rows["head"].isin(HEADS) & rows["d"].isin(DIMS) & (rows["metric"] == "top1")]
    return rows.rename(columns={"d": "feature_dim", "value": "top1"})[["feature_dim", "head", "epochs", "top1"]]


def line(points: pd.DataFrame, dim: int, head: str) -> pd.DataFrame:
    """Return the points of one head at one dimension, the shortest training first."""
    return points[(points["feature_dim"] == dim) & (points["head"] == head)].sort_values("epochs")


def main() -> None:
    """Write the figure."""
    own, theirs = measured(), published()
    hollow: dict[str, Any] = {"markerfacecolor": "none", "linestyle": "none"}
    with canvas(0.6, wide=True) as figure:
        for axis, dim in zip(figure.subplots(1, len(DIMS), sharey=True), DIMS, strict=True):
            for head, look in styles({head: head for head in HEADS}).items():
                ours, told = line(own, dim, head), line(theirs, dim, head)
                axis.plot(ours["epochs"], ours["top1"], **look.marked, label=head)
                axis.plot(told["epochs"], told["top1"], color=look.colour, marker=look.marker, **hollow)
            axis.set(xscale="log", xlabel="epochs (log scale)", title=f"d = {dim}", xlim=(8, 320))
            plain_log(axis.xaxis)
        figure.axes[0].set(ylabel="top-1 test accuracy (%)", ylim=(0, 70))
        handles, labels = figure.axes[0].get_legend_handles_labels()
        hollow_one = Line2D([], [], color="0.3", marker="o", **hollow)
        legend(figure, [*handles, hollow_one], [*labels, "published"])
    FIGURE.write_bytes(encode(figure, "png"))


if __name__ == "__main__":
    main()
