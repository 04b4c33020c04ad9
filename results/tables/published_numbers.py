"""Numbers that papers and their repositories publish, as data: one row per number, with its source and what is wrong
with it.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = Path(__file__).parents[1] / "published"
# How a number was obtained: read in its source, quoted by another paper, recalled without the source at hand, or
# inferred from other numbers.
EVIDENCE = ("read", "quoted", "recalled", "inferred")
# Flags of numbers that say nothing about the head, and are passed over where there is another.
UNUSABLE = ("duplicated", "corrupted data", "frozen baseline", "other augmentation", "reproduction")
# Columns whose numbers may be missing.
NUMBERS = ("d", "imbalance_factor", "std", "n", "epochs")
# The published names of timm's models.
TIMM = {
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "resnext50_32x4d": "ResNeXt-50",
    "swin_tiny_patch4_window7_224": "Swin-T",
}


@dataclass(frozen=True)
class Form:
    """A head or backbone: its name, and its options where it is meant in this form only."""

    name: str
    options: dict[str, Any] | None = None


@cache
def load() -> pd.DataFrame:
    """Return all published numbers, one per row.

    Returns:
        Columns ``dataset, imbalance_factor, backbone, d, head, metric, value, std, n, epochs, selection, source,
            evidence, flag, note, table``: values in percent;
        ``head`` is a head's name, or ``name(option=value, ...)`` where a number is of one form of it; ``d``,
        ``imbalance_factor``, ``std``, ``n`` and ``epochs``, of all stages, are missing where they are not told, and
        a file may have no ``epochs``; ``table`` is the file, named after the paper's head or the study.
    """
    parts = [
        pd.read_csv(path, keep_default_na=False, na_values={key: [""] for key in NUMBERS}).assign(table=path.stem)
        for path in _files()
    ]
    rows = pd.concat(parts, ignore_index=True)
    return rows.astype({"value": float} | dict.fromkeys(NUMBERS, float))


def _files() -> list[Path]:
    return sorted(FOLDER.glob("*.csv"))


@cache
def _accuracies(dataset: str, imbalance_factor: float) -> pd.DataFrame:
    rows = load()
    # Data with a long tail of their own have no factor.
    meant = (rows["imbalance_factor"] == imbalance_factor) | rows["imbalance_factor"].isna()
    return rows[(rows["dataset"] == dataset) & (rows["metric"] == "top1") & meant]


def find(
    dataset: str, imbalance_factor: float, feature_dim: int, head: Form, backbone: Form, epochs: float | None = None
) -> pd.Series | None:
    """Return the published top-1 accuracy that a measured one stands beside, or None.

    Of several, one without a flag that makes it unusable, of as many epochs, of the same backbone, and from the head's
    own paper is preferred, in this order.

    Args:
        dataset: name of the data set.
        imbalance_factor: n_max / n_min.
        feature_dim: d; a number without a dimension stands for any.
        head: with the options of the measured one for numbers that are of this form of it only; without them, for
            numbers of the head as such.
        backbone: the measured one.
        epochs: that were trained, of all stages.
    """
    rows = _accuracies(dataset, imbalance_factor)
    rows = rows[
        rows["head"].map(lambda written: stands_for(written, head)).astype(bool)
        & ((rows["d"] == feature_dim) | rows["d"].isna())
    ]
    if backbone.name == "timm":
        rows = rows[rows["backbone"] == TIMM.get((backbone.options or {}).get("model", ""), "")]
    if rows.empty:
        return None
    ranked = rows.assign(
        far=rows["d"].isna() | (rows["backbone"].str.startswith("ResNet-32") != (backbone.name == "resnet32")),
        unusable=rows["flag"].map(lambda flag: any(bad in flag for bad in UNUSABLE)),
        foreign=rows["table"] != head.name,
        other_length=(rows["epochs"] != epochs) & rows["epochs"].notna(),
    )
    return ranked.sort_values(["unusable", "other_length", "far", "foreign"], kind="stable").iloc[0]


def reruns(number: pd.Series) -> list[str]:
    """Return what others got who ran a published number's own experiment again: ``51.50 (source)``."""
    rows = _accuracies(number["dataset"], number["imbalance_factor"])
    same = ["head", "backbone", "d", "epochs"]
    alike = ((rows[same] == number[same]) | (rows[same].isna() & number[same].isna())).all(axis=1)
    again = rows[alike & rows["flag"].str.contains("reproduction") & (rows.index != number.name)]
    return [f"{row['value']:.2f} ({row['source']})" for _, row in again.iterrows()]


def stands_for(written: str, head: Form) -> bool:
    """Return whether a published number's head, written ``name`` or ``name(option=value, ...)``, is this head, or with
    options this form of it.
    """
    if head.options is None:
        return written == head.name
    name, form, values = written.partition("(")
    given = dict(part.split("=") for part in values.removesuffix(")").split(", ")) if form else {}
    return name == head.name and bool(given) and all(str(head.options.get(key)) == given[key] for key in given)
